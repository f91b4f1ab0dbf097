"""The tables of a pool, contigs.parquet and windows.parquet, written row group by row group as the input streams by."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from virnucpro_kernels.files import atomic_path
from virnucpro_kernels.records import RecordBatch
from virnucpro_kernels.survey import STATUSES, Survey

_ROW_GROUP = 1 << 17

_WORDS = pa.dictionary(pa.int32(), pa.string())
_CONTIGS = pa.schema(
    [
        ("sample", _WORDS),
        ("contig", pa.string()),
        ("description", pa.string()),
        ("length", pa.int64()),
        ("status", _WORDS),
        ("windows", pa.int32()),
    ]
)
_WINDOWS = pa.schema(
    [
        ("contig", pa.int64()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("frames", pa.uint8()),
        ("first_row", pa.int64()),
    ]
)


class _Table:
    """A Parquet file that takes rows in pieces of any size."""

    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema) -> None:
        self._writer, self._schema = writer, schema
        self._pieces: list[pa.RecordBatch] = []
        self._held = 0

    def append(self, columns: Sequence[Any]) -> None:
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._pieces.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._held += len(arrays[0])
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
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        table = _Table(writer, schema)
        yield table
        table.flush()


class PoolTables:
    """Both tables of a pool while they are being written; see `open_tables`.

    Attributes:
        contigs, windows, frames: rows so far, and frames of the windows.
        statuses: int64 (5,), contigs of each of `STATUSES`.
    """

    def __init__(self, contigs: _Table, windows: _Table, samples: Sequence[str]) -> None:
        self.contigs = self.windows = self.frames = 0
        self.statuses = np.zeros(len(STATUSES), np.int64)
        self._contig_table, self._window_table = contigs, windows
        self._samples = pa.array(samples, pa.string())

    def append(self, sample: int, batch: RecordBatch, survey: Survey) -> None:
        """Append a batch of sample number `sample`. Rows are counted on from batch to batch."""
        windows = survey.windows
        of_sample = pa.DictionaryArray.from_arrays(np.full(len(batch), sample, np.int32), self._samples)
        status = pa.DictionaryArray.from_arrays(survey.status.astype(np.int32), pa.array(STATUSES))
        per_contig = np.bincount(windows.contig, minlength=len(batch)).astype(np.int32)
        self._contig_table.append(
            [of_sample, batch.contigs, batch.descriptions, batch.sequences.lengths, status, per_contig]
        )
        frames = np.bitwise_count(survey.masks).astype(np.int64)
        first_row = self.frames + np.cumsum(frames) - frames
        self._window_table.append([self.contigs + windows.contig, windows.start, windows.end, survey.masks, first_row])
        self.contigs += len(batch)
        self.windows += len(windows)
        self.frames += survey.frames
        self.statuses += np.bincount(survey.status, minlength=len(STATUSES))


@contextmanager
def open_tables(directory: Path, samples: Sequence[str]) -> Iterator[PoolTables]:
    """Open contigs.parquet and windows.parquet in `directory`; they appear when the block ends without an error."""
    with (
        _open_table(directory / "contigs.parquet", _CONTIGS) as contigs,
        _open_table(directory / "windows.parquet", _WINDOWS) as windows,
    ):
        yield PoolTables(contigs, windows, samples)
