"""Sorting more windows than memory should hold, by the `sort` of the operating system (GNU coreutils).

`sort` reads lines and keeps what exceeds its buffer in temporary files. Numbers are written as text, float32 as the
integer of the same 32 bits, so that they come back unchanged. Tabs separate the fields: no sequence ID holds one.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from virnucpro_kernels.errors import VirnucproError
from virnucpro_kernels.score.tables import lines

_BLOCK_BYTES = 1 << 20
_TYPES = {"score1": pa.float32(), "score2": pa.float32(), "position": pa.int64(), "name": pa.string()}
_TYPES_AS_TEXT = _TYPES | {"score1": pa.uint32(), "score2": pa.uint32()}
#: Sort key of GNU sort by column: the third as a number, or the line from the fourth on.
_KEYS = {"position": "3,3n", "name": "4"}


class ExternalSort(ExitStack):
    """Context manager that sorts windows by one column; names by code points, equal keys in the order they came.

    Args:
        key: Column to sort by.
        folder: Folder for temporary files; it needs room for all rows as text, twice.
        buffer: Memory that `sort` may use, in its own notation.

    The tables have the columns `name` (string), `score1` and `score2` (float32, not negative) and `position` (int64).
    """

    def __init__(self, key: Literal["name", "position"], folder: Path, *, buffer: str = "64M") -> None:
        super().__init__()
        self._key, self._buffer = _KEYS[key], buffer
        self._path = Path(self.enter_context(tempfile.TemporaryDirectory(prefix=".sort-", dir=folder))) / "rows"
        self._file = self.enter_context(self._path.open("wb"))

    def add(self, table: pa.Table) -> None:
        """Add rows."""
        for batch in table.to_batches():
            columns = (batch[name].view(kind) for name, kind in _TYPES_AS_TEXT.items())
            self._file.write(lines([pc.cast(column, pa.string()) for column in columns]))

    def tables(self) -> Iterator[pa.Table]:
        """Sort, and yield all rows in order, some thousand at a time.

        Raises:
            VirnucproError: `sort` is missing, or failed, for instance because the disk is full.
        """
        self._file.close()
        if not self._path.stat().st_size:
            return
        command = [
            *("sort", "--stable", "--field-separator=\t", f"--key={self._key}", f"--buffer-size={self._buffer}"),
            *("--parallel=1", f"--temporary-directory={self._path.parent}", f"--output={self._path}", str(self._path)),
        ]
        try:
            subprocess.run(command, check=True, capture_output=True, env=os.environ | {"LC_ALL": "C"})
        except FileNotFoundError:
            raise VirnucproError(
                "the command `sort` is missing, which orders the original tool's table of windows: install GNU"
                " coreutils, or set original_files: none"
            ) from None
        except subprocess.CalledProcessError as error:
            raise VirnucproError(f"sorting the windows failed: {error.stderr.decode(errors='replace')}") from None
        with pa_csv.open_csv(
            self._path,
            read_options=pa_csv.ReadOptions(column_names=list(_TYPES), block_size=_BLOCK_BYTES, use_threads=False),
            parse_options=pa_csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=pa_csv.ConvertOptions(column_types=_TYPES_AS_TEXT, strings_can_be_null=False),
        ) as reader:
            for batch in reader:
                yield pa.table([batch[name].view(kind) for name, kind in _TYPES.items()], list(_TYPES))
