"""Sorting more windows than memory should hold, by the `sort` of the operating system (GNU coreutils).

`sort` reads lines and keeps what exceeds its buffer in temporary files. Numbers are written as text, float32 as the
integer of the same 32 bits, so that they come back unchanged. Tabs separate the fields: no sequence ID holds one.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from virnucpro_kernels.errors import VirnucproError

_BUFFER = "64M"
_BLOCK_BYTES = 1 << 20
_FLOATS = ("score1", "score2")
_TYPES = {"score1": pa.uint32(), "score2": pa.uint32(), "place": pa.int64(), "name": pa.string()}
#: Sort key of GNU sort by column: the third as a number, or the line from the fourth on.
_KEYS = {"place": "3,3n", "name": "4"}


class ExternalSort:
    """Context manager that sorts windows by one column; names by code points, equal keys in the order they came.

    Args:
        key: Column to sort by.
        folder: Folder for temporary files; it needs room for all rows as text.
        buffer: Memory that `sort` may use, in its own notation.

    The tables have the columns `name` (string), `score1` and `score2` (float32, not negative) and `place` (int64).
    """

    def __init__(self, key: Literal["name", "place"], folder: Path, *, buffer: str = _BUFFER) -> None:
        self._command = [
            *("sort", "--stable", "--field-separator=\t", f"--key={_KEYS[key]}"),
            *(f"--buffer-size={buffer}", f"--temporary-directory={folder}", "--parallel=1"),
        ]
        self._rows = 0

    def __enter__(self) -> Self:
        self._errors = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=os.environ | {"LC_ALL": "C"},
            )
        except FileNotFoundError:
            self._errors.close()
            raise VirnucproError(
                "the command `sort` is missing, which orders the original tool's table of windows: install GNU"
                " coreutils, or set original_files: none"
            ) from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()  # it then removes its temporary files
        with suppress(BrokenPipeError):
            self._input.close()
        self._output.close()
        self._process.wait()
        self._errors.close()

    def add(self, table: pa.Table) -> None:
        """Add rows.

        Raises:
            VirnucproError: `sort` ended early, for instance because the disk is full.
        """
        self._rows += table.num_rows
        try:
            self._input.write(_lines(table))
        except BrokenPipeError:
            raise self._failure() from None

    def tables(self) -> Iterator[pa.Table]:
        """Yield all rows in order, a few thousand at a time.

        Raises:
            VirnucproError: `sort` failed, for instance because the disk is full.
        """
        try:
            self._input.close()
        except BrokenPipeError:
            raise self._failure() from None
        if self._rows:
            left = self._rows
            try:
                for batch in _read(self._output):
                    left -= batch.num_rows
                    yield _restored(batch)
            except pa.ArrowInvalid:  # there is no output
                raise self._failure() from None
            if left or self._process.wait():
                raise self._failure()

    def _failure(self) -> VirnucproError:
        code = self._process.wait()
        self._errors.seek(0)
        return VirnucproError(
            f"sorting the windows failed: {self._errors.read().decode(errors='replace').strip() or f'exit code {code}'}"
        )


def _lines(table: pa.Table) -> memoryview:
    """Return the rows as lines of text."""
    table = table.combine_chunks()
    columns = [
        pc.cast(pa.array(table[name].to_numpy().view(np.uint32)) if name in _FLOATS else table[name], pa.string())
        for name in _TYPES
    ]
    ends = pc.binary_join_element_wise(columns[-1], "\n", "")
    text = pc.binary_join_element_wise(*columns[:-1], ends, "\t")
    text = text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text
    return memoryview(text.buffers()[2]) if len(text) else memoryview(b"")


def _read(lines: object) -> Iterator[pa.RecordBatch]:
    reader = pa_csv.open_csv(
        lines,
        read_options=pa_csv.ReadOptions(column_names=list(_TYPES), block_size=_BLOCK_BYTES, use_threads=False),
        parse_options=pa_csv.ParseOptions(delimiter="\t", quote_char=False),
        convert_options=pa_csv.ConvertOptions(column_types=_TYPES, strings_can_be_null=False),
    )
    with reader:
        yield from reader


def _restored(batch: pa.RecordBatch) -> pa.Table:
    floats = {name: cast(pa.Array, batch[name]).to_numpy().view(np.float32) for name in _FLOATS}
    return pa.table({"name": batch["name"], **floats, "place": batch["place"]})
