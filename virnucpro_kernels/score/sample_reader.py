"""One sample of a pool, in blocks of whole contigs: the records, their windows, and the logits of their frames."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.pool.manifest import Chunk
from virnucpro_kernels.pool.schemas import FRAMES_OF_MASK
from virnucpro_kernels.pool.scores import PoolScores
from virnucpro_kernels.sequences.arrays import Int64s, Uint8s

_BATCH = 1 << 16
_CONTIG_COLUMNS = ["contig", "description", "length", "status", "windows"]
_WINDOW_COLUMNS = ["contig", "start", "end", "frames", "first_row"]


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive contigs of a sample with everything that is known of them; m contigs, w windows, f frames.

    Attributes:
        contig: string (m,), IDs.
        description: string (m,), header text behind the ID.
        length: int64 (m,), bases.
        status: string (m,): `scored`, `no_open_frame`, `too_short`, `no_codon` or `empty`.
        windows: int64 (m,), windows of each contig.
        start: int64 (w,), first base of the window in its contig, 0-based.
        end: int64 (w,), the base after the last.
        mask: uint8 (w,), bit i set where frame i of `FRAME_NAMES` has no stop.
        logit: float32 (f,), virus logit minus other logit of each frame, in row order.
        scores: float32 (f, 2), the softmax of both logits: other (the original's score1) and virus (score2).
    """

    contig: pa.Array
    description: pa.Array
    length: Int64s
    status: pa.Array
    windows: Int64s
    start: Int64s
    end: Int64s
    mask: Uint8s
    logit: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.windows)

    @property
    def window_contig(self) -> Int64s:
        """int64 (w,), index of each window's contig in the block."""
        return np.repeat(np.arange(len(self)), self.windows)

    @property
    def window_number(self) -> Int64s:
        """int64 (w,), rank of each window in its contig, counted from 1 as in the original's IDs."""
        return np.arange(len(self.start)) - np.repeat(np.cumsum(self.windows) - self.windows, self.windows) + 1

    @property
    def frames(self) -> Int64s:
        """int64 (w,), frames of each window."""
        return FRAMES_OF_MASK[self.mask]

    @property
    def frame_window(self) -> Int64s:
        """int64 (f,), index of each frame's window in the block."""
        return np.repeat(np.arange(len(self.mask)), self.frames)

    @property
    def frame(self) -> Int64s:
        """int64 (f,), which of the six each frame is, 0 to 5."""
        return np.nonzero(self.mask[:, None] >> np.arange(6, dtype=np.uint8) & 1)[1]


class _Forward:
    """The batches of a Parquet file, read forward in pieces of any size."""

    def __init__(self, path: Path, batches: Iterator[pa.RecordBatch]) -> None:
        self._path, self._batches = path, batches
        self._rest = pa.table({})

    def take(self, n: int) -> pa.Table:
        """Return the next `n` rows; DamagedFileError where there are fewer."""
        pieces = [self._rest] if self._rest.num_rows else []
        have = self._rest.num_rows
        while have < n or not pieces:
            try:
                batch = next(self._batches)
            except StopIteration:
                raise DamagedFileError(f"{self._path}: {n - have} rows too few; split the pool again") from None
            pieces.append(pa.Table.from_batches([batch]))
            have += batch.num_rows
        table = pa.concat_tables(pieces)
        self._rest = table.slice(n)
        return table.slice(0, n)

    def skip_below(self, column: str, bound: int) -> None:
        """Drop the rows before the first one whose `column` (ascending) is at least `bound`."""
        while True:
            values = self._rest[column].to_numpy() if self._rest.num_rows else np.empty(0, np.int64)
            below = int(np.searchsorted(values, bound))
            self._rest = self._rest.slice(below)
            if self._rest.num_rows or (batch := next(self._batches, None)) is None:
                return
            self._rest = pa.Table.from_batches([batch])


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 18, page_checksum_verification=True)
    except FileNotFoundError:
        raise DamagedFileError(f"{path}: missing; split the pool again") from None
    except (pa.ArrowException, OSError) as error:
        raise DamagedFileError(f"{path}: not a readable Parquet file ({error}); split the pool again") from error


def _batches(path: Path, columns: Sequence[str], groups: Sequence[int] | None = None) -> Iterator[pa.RecordBatch]:
    with _open(path) as file:
        absent = set(columns) - set(file.schema_arrow.names)
        if absent:
            raise DamagedFileError(f"{path}: no column {', '.join(sorted(absent))}; split the pool again")
        try:
            # One after the other: threads would hold a decoded row group each.
            yield from file.iter_batches(_BATCH, row_groups=groups, columns=list(columns), use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise DamagedFileError(f"{path}: damaged ({error}); split the pool again") from error


def _contigs(path: Path, sample: str, columns: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The contigs of `sample`, which lie together: index of the first in the pool, and a batch of them."""
    index, ended = 0, None
    for batch in _batches(path, ["sample", *columns]):
        places = np.flatnonzero(pc.equal(batch["sample"], sample).to_numpy(zero_copy_only=False))
        if len(places):
            first, stop = int(places[0]), int(places[-1]) + 1
            if stop - first != len(places) or ended not in (None, index + first):
                raise DamagedFileError(f"{path}: the contigs of sample {sample} do not lie together; split again")
            ended = index + stop
            yield index + first, batch.slice(first, stop - first)
        index += batch.num_rows


def _pieces(windows: Int64s, limit: int) -> Iterator[slice]:
    """Slices of consecutive contigs with at most `limit` windows, or of one contig that has more."""
    ends = np.cumsum(windows)
    first = 0
    while first < len(windows):
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + limit, side="right")))
        yield slice(first, last)
        first = last


def _strings(column: pa.Array) -> pa.Array:
    """A string column as plain strings, whatever it is encoded as."""
    return column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column


def read_blocks(
    contigs: Path,
    windows: Path,
    scores: Path,
    chunks: Sequence[Chunk],
    *,
    sample: str,
    model_id: str,
    block_windows: int = _BATCH,
) -> Iterator[Block]:
    """Yield the contigs of `sample` in input order, each once, with their windows and the logits of their frames.

    Memory holds one block (`block_windows` windows, or one contig that has more), one batch of either table, and a row
    group of each chunk's scores.

    Args:
        contigs, windows: the tables of the pool.
        scores: directory of `{chunk}.parquet`.
        chunks: the manifest of the pool.
        sample: one sample of the pool. One without contigs yields nothing.
        model_id: the model that must have made the scores.
        block_windows: windows of a block.

    Raises:
        DamagedFileError: a file is damaged, the tables do not fit together, or a row has no score or two.
    """
    window_table: _Forward | None = None
    pool_scores: PoolScores | None = None
    next_row = 0
    total_rows = sum(chunk.rows for chunk in chunks)
    for first_contig, batch in _contigs(contigs, sample, _CONTIG_COLUMNS):
        if window_table is None:
            window_table = _Forward(windows, _batches(windows, _WINDOW_COLUMNS, _groups_from(windows, first_contig)))
            window_table.skip_below("contig", first_contig)
        counts = batch["windows"].to_numpy().astype(np.int64)
        for piece in _pieces(counts, block_windows):
            n = int(counts[piece].sum())
            table = window_table.take(n) if n else None
            found = {name: table[name].to_numpy() if table else np.empty(0, np.int64) for name in _WINDOW_COLUMNS}
            mask = found["frames"].astype(np.uint8)
            frames = FRAMES_OF_MASK[mask]
            if n and pool_scores is None:
                next_row = int(found["first_row"][0])
                pool_scores = PoolScores(scores, chunks, model_id, next_row, total_rows)
            expected = np.repeat(first_contig + np.arange(piece.start, piece.stop), counts[piece])
            _check(windows, found, expected, next_row + np.cumsum(frames) - frames)
            rows = int(frames.sum())
            next_row += rows
            if next_row > total_rows:
                raise DamagedFileError(f"{windows}: more frames than the {total_rows} of the manifest; split again")
            values = pool_scores.take(rows) if pool_scores else np.empty((0, 3), np.float32)
            yield Block(
                contig=_strings(batch["contig"])[piece],
                description=_strings(batch["description"])[piece],
                length=batch["length"].to_numpy()[piece],
                status=_strings(batch["status"])[piece],
                windows=counts[piece],
                start=found["start"],
                end=found["end"],
                mask=mask,
                logit=values[:, 0],
                scores=values[:, 1:],
            )


class SampleRecords:
    """ID and length of a sample's contigs, read forward in pieces of any size."""

    def __init__(self, contigs: Path, sample: str) -> None:
        self._table = _Forward(contigs, (batch for _, batch in _contigs(contigs, sample, ["contig", "length"])))

    def take(self, n: int) -> tuple[list[str], list[int]]:
        """IDs and lengths of the next `n` contigs; DamagedFileError where there are fewer."""
        table = self._table.take(n)
        return table["contig"].to_pylist(), table["length"].to_pylist()


def _groups_from(path: Path, contig: int) -> list[int]:
    """Row groups of the window table that may hold windows of `contig` or a later one."""
    with _open(path) as file:
        metadata, place = file.metadata, file.schema_arrow.get_field_index("contig")
    groups = []
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(place).statistics if place >= 0 else None
        if statistics is None or not statistics.has_min_max or statistics.max >= contig:
            groups.append(group)
    return groups


def _check(path: Path, found: dict[str, npt.NDArray[Any]], contig: Int64s, first_row: Int64s) -> None:
    """Raise DamagedFileError unless the windows are those of `contig` and their rows follow without a gap."""
    if not np.array_equal(found["contig"], contig):
        raise DamagedFileError(f"{path}: windows of other contigs than the contig table says; split the pool again")
    if not np.array_equal(found["first_row"], first_row):
        raise DamagedFileError(f"{path}: the rows of the windows have gaps or overlap; split the pool again")
