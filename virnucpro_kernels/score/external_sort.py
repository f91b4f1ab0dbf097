"""Sorting more rows than memory shall hold: sorted runs on disk, merged a batch of each at a time."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


class ExternalSort:
    """Context manager that sorts the rows of tables by one column; strings by code points, equal keys as they came.

    Args:
        key: name of the column.
        run_bytes: size of a run, which is sorted in memory.
        batch_bytes: size of the piece of each run that is in memory while the runs are merged.

    Runs lie in a directory below TMPDIR, which is removed at the end.
    """

    def __init__(self, key: str, *, run_bytes: int = 1 << 25, batch_bytes: int = 1 << 20) -> None:
        self._key, self._run_bytes, self._batch_bytes = key, run_bytes, batch_bytes
        self._waiting: list[pa.Table] = []
        self._waiting_bytes = 0
        self._runs: list[Path] = []

    def __enter__(self) -> Self:
        self._directory = tempfile.TemporaryDirectory(prefix="virnucpro-sort-")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._directory.cleanup()

    def add(self, table: pa.Table) -> None:
        """Add rows."""
        self._waiting.append(table)
        self._waiting_bytes += table.nbytes
        if self._waiting_bytes >= self._run_bytes:
            self._write_run()

    def tables(self) -> Iterator[pa.Table]:
        """Yield all rows in order; rows of one key always come in one table."""
        if not self._runs:
            if self._waiting:
                yield self._sorted(self._waiting)
            return
        if self._waiting:
            self._write_run()
        runs = [_Run(path, self._key) for path in self._runs]
        while any(run.table.num_rows for run in runs):
            last_keys = [run.last_key for run in runs if run.has_more]
            bound = min(last_keys) if last_keys else None
            yield self._sorted([run.take_below(bound) for run in runs])
            for run in runs:
                if run.has_more and run.last_key == bound:
                    run.read_more()

    def _sorted(self, tables: list[pa.Table]) -> pa.Table:
        table = pa.concat_tables(tables)
        # Arrow's sort is not stable; the position as a second key makes it so.
        keys = pa.table({"key": table[self._key], "position": pa.array(np.arange(table.num_rows))})
        return table.take(pc.sort_indices(keys, [("key", "ascending"), ("position", "ascending")]))

    def _write_run(self) -> None:
        path = Path(self._directory.name) / f"{len(self._runs)}.arrow"
        table = self._sorted(self._waiting)
        rows = max(1, table.num_rows * self._batch_bytes // max(table.nbytes, 1))
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=rows)
        self._runs.append(path)
        self._waiting, self._waiting_bytes = [], 0


class _Run:
    """One sorted run, of which `table` holds what was read and not yet taken."""

    def __init__(self, path: Path, key: str) -> None:
        self._reader = pa.ipc.open_stream(pa.OSFile(str(path)))
        self._key = key
        self.table = self._reader.schema.empty_table()
        self.has_more = True
        self.read_more()

    def read_more(self) -> None:
        """Append the next batch, if there is one."""
        batch = next(iter(self._reader), None)
        if batch is None:
            self.has_more = False
        else:
            self.table = pa.concat_tables([self.table, pa.Table.from_batches([batch])])
            self.last_key: Any = self.table[self._key][-1].as_py()

    def take_below(self, bound: Any) -> pa.Table:
        """Remove and return the rows whose key is less than `bound`; all of them where it is None."""
        keys = self.table[self._key]
        n = self.table.num_rows if bound is None else (pc.sum(pc.less(keys, bound)).as_py() or 0)
        taken, self.table = self.table.slice(0, n), self.table.slice(n)
        return taken
