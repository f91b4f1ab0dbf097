"""The frame scores of a pool's chunks as one stream in row order.

A chunk is a length range of its pool, so its rows lie scattered over the pool, ascending. Reading every chunk's file
forward together, a row group at a time, gives any range of rows at a cost in memory of one row group a chunk.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.pool.file_names import SCORE_SUFFIX, record_name
from virnucpro_kernels.pool.job_record import check_output
from virnucpro_kernels.pool.manifest import Chunk
from virnucpro_kernels.sequences.arrays import Int64s

#: Columns of a score file beside `row`: virus logit minus the other logit, and the softmax of both logits.
VALUES = ("logit", "p_other", "p_virus")

_REDO = "the stage `classify` wrote this file: remove it, and the next start of the run makes it again"


class ChunkScores:
    """The score file of one chunk, read forward: `below` returns every row of `first` … `stop` - 1 exactly once.

    The file is opened anew for each row group, because a large pool has more chunks than a process may have open files.

    Raises:
        DamagedFileError: the file is missing or unreadable, has another number of rows than the manifest says, was made
            by another model, has rows that do not ascend, or a value that is not finite.
    """

    def __init__(self, path: Path, chunk: Chunk, model_id: str, first: int, stop: int) -> None:
        self.path = path
        try:
            check_output(path, path.with_name(record_name("classify", path.stem)))
            metadata = pq.read_metadata(path)
        except FileNotFoundError:
            raise DamagedFileError(f"{path}: there are no scores of chunk {chunk.chunk}; start the run again") from None
        except (pa.ArrowException, OSError) as error:
            raise DamagedFileError(f"{path}: the scores cannot be read ({error}); {_REDO}") from error
        if metadata.num_rows != chunk.rows:
            raise DamagedFileError(
                f"{path}: the file has {metadata.num_rows} rows, but the manifest says {chunk.rows}; {_REDO}"
            )
        made_by = (metadata.metadata or {}).get(b"model_id", b"").decode()
        if made_by != model_id:
            raise DamagedFileError(
                f"{path}: the scores are of model {made_by or 'unknown'}, not of {model_id}; {_REDO}"
            )
        self._first, self._stop = first, stop
        self._groups = [group for group in range(metadata.num_row_groups) if self._overlaps(metadata.row_group(group))]
        self._rows: Int64s = np.empty(0, np.int64)
        self._values: npt.NDArray[np.float32] = np.empty((0, len(VALUES)), np.float32)
        self._last = -1

    def _overlaps(self, group: pq.RowGroupMetaData) -> bool:
        columns = (group.column(i) for i in range(group.num_columns))
        column = next((column for column in columns if column.path_in_schema == "row"), None)
        statistics = column.statistics if column else None
        if statistics is None or not statistics.has_min_max:
            return bool(group.num_rows)
        return bool(statistics.min < self._stop and statistics.max >= self._first)

    def _read_next_group(self) -> None:
        try:
            with pq.ParquetFile(self.path, page_checksum_verification=True) as file:
                table = file.read_row_group(self._groups.pop(0), columns=["row", *VALUES], use_threads=False)
            rows = table["row"].to_numpy()
            values = np.stack([table[name].to_numpy() for name in VALUES], axis=1, dtype=np.float32)
        except (pa.ArrowException, OSError, KeyError) as error:
            raise DamagedFileError(f"{self.path}: the scores cannot be read ({error}); {_REDO}") from error
        if (np.diff(rows, prepend=self._last) <= 0).any():
            raise DamagedFileError(f"{self.path}: the rows are not in ascending order; {_REDO}")
        finite = np.isfinite(values).all(axis=1)
        if not finite.all():
            row = rows[~finite][0]
            raise DamagedFileError(f"{self.path}: the score of row {row} is not a finite number; {_REDO}")
        self._last = int(rows[-1])
        wanted = slice(*np.searchsorted(rows, [self._first, self._stop]))
        self._rows = np.concatenate([self._rows, rows[wanted]])
        self._values = np.concatenate([self._values, values[wanted]])

    def below(self, stop: int) -> tuple[Int64s, npt.NDArray[np.float32]]:
        """Return rows (n,) and values (n, 3) of all rows under `stop` that were not returned before."""
        while self._groups and (not len(self._rows) or self._rows[-1] < stop):
            self._read_next_group()
        n = int(np.searchsorted(self._rows, stop))
        rows, values = self._rows[:n], self._values[:n]
        self._rows, self._values = self._rows[n:], self._values[n:]
        return rows, values


class PoolScores:
    """The scores of rows `first` … `stop` - 1 of a pool, read forward.

    Args:
        directory: Folder with `{chunk}.parquet` of every chunk.
        chunks: Rows of the pool's manifest.
        model_id: Model that must have made the scores.
        first, stop: First row, and the row after the last.

    Raises:
        DamagedFileError: see `ChunkScores`; or a row has no score, or two.
    """

    def __init__(self, directory: Path, chunks: Sequence[Chunk], model_id: str, first: int, stop: int) -> None:
        self._files = [
            ChunkScores(directory / f"{chunk.chunk}{SCORE_SUFFIX}", chunk, model_id, first, stop) for chunk in chunks
        ]
        self._directory = directory
        self._next = first

    def take(self, n: int) -> npt.NDArray[np.float32]:
        """Return logit, p_other and p_virus, float32 (n, 3), of the next `n` rows."""
        first, stop = self._next, self._next + n
        self._next = stop
        values = np.full((n, len(VALUES)), np.nan, np.float32)
        for file in self._files:
            rows, found = file.below(stop)
            indices = rows - first
            twice = ~np.isnan(values[indices, 0])
            if twice.any():
                raise DamagedFileError(
                    f"{file.path}: row {rows[twice][0]} is in another chunk too; split the pool again"
                )
            values[indices] = found
        missing = np.isnan(values[:, 0])
        if missing.any():
            raise DamagedFileError(
                f"{self._directory}: no score for row {first + int(missing.argmax())} "
                f"({int(missing.sum())} rows are missing); split the pool again"
            )
        return values
