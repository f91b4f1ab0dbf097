"""The tables of a pool, contigs.parquet and windows.parquet, written row group by row group while the input is read."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from virnucpro_kernels.files import atomic_path
from virnucpro_kernels.pool.file_names import CONTIGS, WINDOWS
from virnucpro_kernels.pool.labels import NOTES, STATUSES
from virnucpro_kernels.pool.schemas import CONTIG_SCHEMA, WINDOW_SCHEMA, WORDS
from virnucpro_kernels.sequences.arrays import SequenceArray, Uint8s
from virnucpro_kernels.split.second_pass import ContigLines
from virnucpro_kernels.split.windows import Windows

_ROW_GROUP = 1 << 17


class _Table:
    """A Parquet file to which pieces of any number of rows can be appended."""

    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema) -> None:
        self._writer, self._schema = writer, schema
        self._pieces: list[pa.RecordBatch] = []
        self._held = 0

    def append(self, columns: Sequence[pa.Array]) -> None:
        self._pieces.append(pa.RecordBatch.from_arrays(list(columns), schema=self._schema))
        self._held += len(columns[0])
        if self._held >= _ROW_GROUP:
            self.flush()

    def flush(self) -> None:
        if self._held:
            table = pa.Table.from_batches(self._pieces)
            self._writer.write_table(table, row_group_size=self._held)
        self._pieces.clear()
        self._held = 0


@contextmanager
def _open_table(path: Path, schema: pa.Schema) -> Iterator[_Table]:
    # Most numbers are a little larger than the one before, and few texts occur twice: with them, Parquet's default
    # encoding by dictionary costs time and space.
    encodings = {field.name: "DELTA_BINARY_PACKED" for field in schema if field.type in (pa.int64(), pa.int32())}
    words = [field.name for field in schema if field.type in (WORDS, pa.uint8())]
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(
            temporary,
            schema,
            compression="zstd",
            use_dictionary=words,
            column_encoding=encodings,
            write_page_checksum=True,
        ) as writer,
    ):
        table = _Table(writer, schema)
        yield table
        table.flush()


# Arrow arrays are made from buffers, not by `pa.array`: that imports pandas, to see whether its argument is a series.


def _numbers(values: npt.NDArray[Any], data_type: pa.DataType) -> pa.Array:
    values = np.ascontiguousarray(values, data_type.to_pandas_dtype())
    return pa.Array.from_buffers(data_type, len(values), [None, pa.py_buffer(values)])


def _strings(texts: SequenceArray) -> pa.Array:
    offsets = pa.py_buffer(texts.offsets.astype(np.int32))
    return pa.StringArray.from_buffers(len(texts), offsets, pa.py_buffer(texts.data))


def _words(words: Sequence[str]) -> pa.Array:
    return _strings(SequenceArray.from_list([word.encode() for word in words]))


class WindowTable:
    """windows.parquet while it is being written; see `open_windows`.

    Attributes:
        contigs: Number of contigs whose windows have been appended.
        windows, frames: Numbers of windows and frames so far.
    """

    def __init__(self, table: _Table) -> None:
        self._table = table
        self.contigs = self.windows = self.frames = 0

    def append(self, contigs: int, windows: Windows, masks: Uint8s) -> None:
        """Append the windows of the next contigs. Contigs and rows are numbered through the whole table.

        Args:
            contigs: Number of these contigs.
            windows: Windows, their contigs counted from 0.
            masks: Frames of each window, uint8 (w,).
        """
        frame_counts = np.bitwise_count(masks).astype(np.int64)
        first_row = self.frames + np.cumsum(frame_counts) - frame_counts
        columns: tuple[npt.NDArray[Any], ...] = (
            self.contigs + windows.contig,
            windows.start,
            windows.end,
            masks,
            first_row,
        )
        self._table.append([_numbers(column, field.type) for column, field in zip(columns, WINDOW_SCHEMA, strict=True)])
        self.contigs += contigs
        self.windows += len(windows)
        self.frames += int(frame_counts.sum())


class ContigTable:
    """contigs.parquet while it is being written; see `open_contigs`.

    Attributes:
        contigs: Number of contigs so far.
        statuses: Number of contigs of each of `STATUSES`, int64 (5,).
    """

    def __init__(self, table: _Table, samples: Sequence[str]) -> None:
        self._table = table
        self._samples, self._statuses, self._notes = _words(samples), _words(STATUSES), _words(NOTES)
        self.contigs = 0
        self.statuses = np.zeros(len(STATUSES), np.int64)

    def append(self, sample: int, lines: ContigLines) -> None:
        """Append the lines of contigs of the sample with index `sample`."""
        number = len(lines.contigs)
        samples = _numbers(np.full(number, sample), pa.int32())
        self._table.append(
            [
                pa.DictionaryArray.from_arrays(samples, self._samples),
                _strings(lines.contigs),
                _strings(lines.descriptions),
                _numbers(lines.lengths, pa.int64()),
                pa.DictionaryArray.from_arrays(_numbers(lines.statuses, pa.int32()), self._statuses),
                _numbers(lines.windows, pa.int32()),
                pa.DictionaryArray.from_arrays(_numbers(lines.notes, pa.int32()), self._notes),
            ]
        )
        self.contigs += number
        self.statuses += np.bincount(lines.statuses, minlength=len(STATUSES))


@contextmanager
def open_windows(directory: Path) -> Iterator[WindowTable]:
    """Open windows.parquet in `directory`; it appears when the block ends without an error."""
    with _open_table(directory / WINDOWS, WINDOW_SCHEMA) as table:
        yield WindowTable(table)


@contextmanager
def open_contigs(directory: Path, samples: Sequence[str]) -> Iterator[ContigTable]:
    """Open contigs.parquet in `directory` for contigs of `samples`; it appears when the block ends without an error."""
    with _open_table(directory / CONTIGS, CONTIG_SCHEMA) as table:
        yield ContigTable(table, samples)
