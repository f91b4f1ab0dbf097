"""One sample of a pool, in batches of whole contigs: the records, their windows, and the logits of their frames.

The tables of a pool and its scores lie side by side and are joined by numbers alone. Example of a pool of two samples:

    contigs.parquet               windows.parquet                                 scores
    number  sample  contig  windows      contig  start  mask    first_row         row  logit
    0       a       x       1            0       0      000001  0                 0    -1.2
    1       a       y       0            2       0      000011  1                 1     3.4
    2       b       p       2            2       300    000000  3                 2     0.5
    3       b       q       1            3       0      100000  3                 3    -2.1

Sample `b` begins at contig 2. Windows before that contig are skipped; the first window left says that the rows of `b`
begin at 1. Its first window has two frames (two bits are set), which are rows 1 and 2; its second has none, so the next
window begins at row 3. The `first_row` of each window is thus known beforehand, and checked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.pool.manifest import Chunk
from virnucpro_kernels.pool.schemas import CONTIG_SCHEMA, WINDOW_SCHEMA
from virnucpro_kernels.pool.scores import PoolScores
from virnucpro_kernels.sequences.arrays import Bools, Int64s, Uint8s

_BATCH = 1 << 16
_CONTIG_COLUMNS = [name for name in CONTIG_SCHEMA.names if name != "sample"]


@dataclass(frozen=True)
class Sources:
    """Files that a sample is collected from.

    Attributes:
        contigs, windows, manifest: Tables of its pool.
        scores: Folder of `{chunk}.parquet`.
        inputs: Sequence files of the sample; without any, no viral sequences are written.
    """

    contigs: Path
    windows: Path
    manifest: Path
    scores: Path
    inputs: tuple[Path, ...] = ()


@dataclass(frozen=True, eq=False)
class ContigBatch:
    """Consecutive contigs of a sample, their windows and their frames' scores: m contigs, w windows, f frames.

    Attributes:
        contig: IDs, string (m,).
        description: Header text behind the ID, string (m,).
        length: Bases, int64 (m,).
        status: Status of each contig, string (m,): `scored`, `no_open_frame`, `too_short`, `no_codon` or `empty`.
        windows: Number of windows of each contig, int64 (m,).
        note: Note about each contig, string (m,): `rna`, or empty.
        start: First base of the window in its contig, 0-based, int64 (w,).
        end: Base after the window's last, int64 (w,).
        mask: Frames of the window, uint8 (w,): bit i is set where frame i of `FRAME_NAMES` has no stop.
        logit: Virus logit minus other logit of each frame, in row order, float32 (f,).
        scores: Softmax of both logits, float32 (f, 2): other (the original's score1) and virus (score2).
    """

    contig: pa.Array
    description: pa.Array
    length: Int64s
    status: pa.Array
    windows: Int64s
    note: pa.Array
    start: Int64s
    end: Int64s
    mask: Uint8s
    logit: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.windows)

    @cached_property
    def window_contig(self) -> Int64s:
        """Index of each window's contig in the batch, int64 (w,)."""
        return np.repeat(np.arange(len(self)), self.windows)

    @cached_property
    def window_number(self) -> Int64s:
        """Rank of each window in its contig, counted from 1 as in the original's IDs, int64 (w,)."""
        return np.arange(len(self.start)) - np.repeat(np.cumsum(self.windows) - self.windows, self.windows) + 1

    @cached_property
    def ends(self) -> tuple[Bools, Bools]:
        """Whether each window is the first and whether it is the last of its contig, bool (w,) each."""
        first = self.window_number == 1
        return first, np.roll(first, -1)

    @cached_property
    def tiles(self) -> tuple[Int64s, Int64s]:
        """Start and end of the windows without their overlaps, int64 (w,) each: neighbours meet in the middle."""
        first, last = self.ends
        left = np.where(first, self.start, (self.start + np.roll(self.end, 1)) // 2)
        right = np.where(last, self.end, (self.end + np.roll(self.start, -1)) // 2)
        return left, right

    @property
    def frame_counts(self) -> Int64s:
        """Number of frames of each window, int64 (w,)."""
        return np.bitwise_count(self.mask).astype(np.int64)

    @cached_property
    def frame_window(self) -> Int64s:
        """Index of each frame's window in the batch, int64 (f,)."""
        return np.repeat(np.arange(len(self.mask)), self.frame_counts)

    @property
    def frame(self) -> Int64s:
        """Number of each frame among the six, 0 to 5, int64 (f,)."""
        return np.nonzero(self.mask[:, None] >> np.arange(6, dtype=np.uint8) & 1)[1]


class ForwardReader:
    """Reader that goes forward through the batches of a Parquet file, in pieces of any size."""

    def __init__(self, path: Path, batches: Iterator[pa.RecordBatch]) -> None:
        self._path, self._batches = path, batches
        self._rest = pa.table({})

    def take(self, n: int) -> pa.Table:
        """Return the next `n` rows.

        Raises:
            DamagedFileError: there are fewer.
        """
        pieces = [self._rest] if self._rest.num_rows else []
        have = self._rest.num_rows
        while have < n or not pieces:
            try:
                batch = next(self._batches)
            except StopIteration:
                raise DamagedFileError(f"{self._path} has {n - have} rows too few; split the pool again") from None
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
        raise DamagedFileError(f"{path}: there is no such file; split the pool again") from None
    except (pa.ArrowException, OSError) as error:
        raise DamagedFileError(f"{path} is not a readable Parquet file ({error}); split the pool again") from error


def _batches(path: Path, columns: Sequence[str], groups: Sequence[int] | None = None) -> Iterator[pa.RecordBatch]:
    with _open(path) as file:
        absent = set(columns) - set(file.schema_arrow.names)
        if absent:
            raise DamagedFileError(f"{path}: there is no column {', '.join(sorted(absent))}; split the pool again")
        try:
            # One after the other: threads would hold a decoded row group each.
            yield from file.iter_batches(_BATCH, row_groups=groups, columns=list(columns), use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise DamagedFileError(f"{path}: the file is damaged ({error}); split the pool again") from error


def _contigs(path: Path, sample: str, columns: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the contigs of `sample`, which lie together: number of the first in the pool, and a batch of them."""
    index, ended = 0, None
    for batch in _batches(path, ["sample", *columns]):
        positions = np.flatnonzero(pc.equal(batch["sample"], sample).to_numpy(zero_copy_only=False))
        if len(positions):
            first, stop = int(positions[0]), int(positions[-1]) + 1
            if stop - first != len(positions) or ended not in (None, index + first):
                raise DamagedFileError(f"{path}: the contigs of sample {sample} do not lie together; split again")
            ended = index + stop
            yield index + first, batch.slice(first, stop - first)
        index += batch.num_rows


def _pieces(windows: Int64s, limit: int) -> Iterator[slice]:
    """Yield slices of consecutive contigs with at most `limit` windows, or of one contig that has more."""
    ends = np.cumsum(windows)
    first = 0
    while first < len(windows):
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + limit, side="right")))
        yield slice(first, last)
        first = last


class _WindowReader:
    """Reader of the windows of a sample and of their frames' scores, contig by contig.

    Args:
        sources: Files of the sample.
        chunks: Manifest of the pool.
        model_id: Model that must have made the scores.
        first_contig: Number of the sample's first contig in the pool.
    """

    def __init__(self, sources: Sources, chunks: Sequence[Chunk], model_id: str, first_contig: int) -> None:
        self._path, self._scores, self._chunks, self._model_id = sources.windows, sources.scores, chunks, model_id
        groups = _groups_from(self._path, first_contig)
        self._table = ForwardReader(self._path, _batches(self._path, WINDOW_SCHEMA.names, groups))
        self._table.skip_below("contig", first_contig)
        self._pool_scores: PoolScores | None = None
        self._next_row = 0
        self._total_rows = sum(chunk.rows for chunk in chunks)

    def take(self, contigs: Int64s, counts: Int64s) -> dict[str, npt.NDArray[Any]]:
        """Return the windows of the next contigs and the scores of their frames, as fields of a `ContigBatch`.

        Args:
            contigs: Numbers of the contigs in the pool, int64 (m,).
            counts: Number of windows of each, int64 (m,).

        Raises:
            DamagedFileError: the windows or their rows are not the expected ones, or a row has no score or two.
        """
        n = int(counts.sum())
        table = self._table.take(n) if n else None
        found = {name: table[name].to_numpy() if table else np.empty(0, np.int64) for name in WINDOW_SCHEMA.names}
        mask = found["mask"].astype(np.uint8)
        frame_counts = np.bitwise_count(mask).astype(np.int64)
        rows = int(frame_counts.sum())
        if n and self._pool_scores is None:
            # The first window says at which row of the pool the sample begins.
            self._next_row = int(found["first_row"][0])
            self._pool_scores = PoolScores(self._scores, self._chunks, self._model_id, self._next_row, self._total_rows)
        first_rows = self._next_row + np.cumsum(frame_counts) - frame_counts
        if not np.array_equal(found["contig"], np.repeat(contigs, counts)):
            raise DamagedFileError(
                f"{self._path}: the windows are of other contigs than the contig table says; split the pool again"
            )
        if not np.array_equal(found["first_row"], first_rows):
            raise DamagedFileError(f"{self._path}: the rows of the windows have gaps or overlap; split the pool again")
        self._next_row += rows
        if self._next_row > self._total_rows:
            raise DamagedFileError(
                f"{self._path}: there are more frames than the {self._total_rows} of the manifest; split the pool again"
            )
        values = self._pool_scores.take(rows) if self._pool_scores else np.empty((0, 3), np.float32)
        windows = {"start": found["start"], "end": found["end"], "mask": mask}
        return windows | {"logit": values[:, 0], "scores": values[:, 1:]}


def read_contig_batches(
    sources: Sources, chunks: Sequence[Chunk], *, sample: str, model_id: str, batch_windows: int = _BATCH
) -> Iterator[ContigBatch]:
    """Yield the contigs of `sample` in input order, each once, with their windows and the logits of their frames.

    Memory holds one batch (`batch_windows` windows, or one contig that has more), as many rows of either table, and a
    row group of each chunk's scores.

    Args:
        sources: Files of the sample.
        chunks: Manifest of the pool.
        sample: Sample of the pool; one without contigs yields nothing.
        model_id: Model that must have made the scores.
        batch_windows: Largest number of windows of a batch.

    Raises:
        DamagedFileError: a file is damaged, the tables do not fit together, or a row has no score or two.
    """
    reader: _WindowReader | None = None
    for first_contig, table in _contigs(sources.contigs, sample, _CONTIG_COLUMNS):
        if reader is None:
            reader = _WindowReader(sources, chunks, model_id, first_contig)
        counts = table["windows"].to_numpy().astype(np.int64)
        for piece in _pieces(counts, batch_windows):
            batch = ContigBatch(
                contig=table["contig"].cast(pa.string())[piece],
                description=table["description"].cast(pa.string())[piece],
                length=table["length"].to_numpy()[piece],
                status=table["status"].cast(pa.string())[piece],
                windows=counts[piece],
                note=table["note"].cast(pa.string())[piece],
                **reader.take(first_contig + np.arange(piece.start, piece.stop), counts[piece]),
            )
            has_frames = np.bincount(batch.window_contig[batch.mask > 0], minlength=len(batch)) > 0
            if (has_frames != pc.equal(batch.status, "scored").to_numpy(zero_copy_only=False)).any():
                raise DamagedFileError(
                    f"{sources.contigs}: the status of a contig does not fit the frames of its windows;"
                    " split the pool again"
                )
            yield batch


def read_id_batches(sources: Sources, sample: str, skip: int = 0) -> Iterator[pa.Array]:
    """Yield the IDs of a sample's contigs in input order, string (n,), without the first `skip`."""
    for _, batch in _contigs(sources.contigs, sample, ["contig"]):
        left = batch["contig"].cast(pa.string())[skip:]
        skip = max(0, skip - batch.num_rows)
        if len(left):
            yield left


def _groups_from(path: Path, contig: int) -> list[int]:
    """Return the row groups of the window table that may hold windows of `contig` or a later one."""
    with _open(path) as file:
        metadata, place = file.metadata, file.schema_arrow.get_field_index("contig")
    groups = []
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(place).statistics if place >= 0 else None
        if statistics is None or not statistics.has_min_max or statistics.max >= contig:
            groups.append(group)
    return groups
