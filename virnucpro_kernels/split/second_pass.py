"""The second reading of a block of contigs: their lines in the table, and their frames as text for the chunk files."""

from dataclasses import dataclass
from itertools import chain, repeat

import numpy as np

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.sequences.arrays import Int64s, SequenceArray, Uint8s
from virnucpro_kernels.sequences.formats import Block
from virnucpro_kernels.sequences.records import RecordBatch
from virnucpro_kernels.sequences.sample_input import read_block
from virnucpro_kernels.split.first_pass import FrameCounts, lay_windows, statuses
from virnucpro_kernels.split.frames import cut_frames, frame_ids
from virnucpro_kernels.split.windows import Geometry


@dataclass(frozen=True, eq=False)
class PlacedBlock:
    """A block of contigs, and where its frames stand in the pool.

    Attributes:
        block: the contigs.
        first_row: row of the first frame.
        counts: the frames by length, as the first reading found them.
        first_places: int64 (k,), for each length, the place of the block's first frame of that length in the order of
            all frames by length and row. The block's others of this length follow it.
    """

    block: Block | RecordBatch
    first_row: int
    counts: FrameCounts
    first_places: Int64s


@dataclass(frozen=True)
class Share:
    """What one chunk gets from a block.

    Attributes:
        chunk: number of the chunk.
        rows: frames.
        bases: of their nucleotide sequences.
        nucleotides: uint8, FASTA text.
        proteins: uint8, FASTA text, the same frames in the same order.
    """

    chunk: int
    rows: int
    bases: int
    nucleotides: Uint8s
    proteins: Uint8s


@dataclass(frozen=True, eq=False)
class ContigLines:
    """The lines of n contigs in the table.

    Attributes:
        contigs, descriptions: UTF-8.
        lengths: int64 (n,), bases.
        statuses: uint8 (n,), indices into `STATUSES`.
        windows: int64 (n,), windows of each.
    """

    contigs: SequenceArray
    descriptions: SequenceArray
    lengths: Int64s
    statuses: Uint8s
    windows: Int64s


def share_out(
    placed: PlacedBlock, *, borders: Int64s, geometry: Geometry, min_length: int
) -> tuple[ContigLines, list[Share]]:
    """Return the contigs' lines and the chunks' shares of a block; in a share, frames in the order of their rows.

    Args:
        placed: the contigs.
        borders: int64 (chunks + 1,), of the `ChunkPlan`.
        geometry, min_length: as in the survey of the pool.

    Raises UsageError where the block is not what it was in the first reading.
    """
    batch = read_block(placed.block)
    windows = lay_windows(batch.sequences, geometry, min_length)
    frames, nucleotides, proteins = cut_frames(batch.sequences, windows)
    lengths = batch.sequences.lengths
    contigs = [contig.encode() for contig in batch.contigs]
    lines = ContigLines(
        SequenceArray.from_list(contigs),
        SequenceArray.from_list([description.encode() for description in batch.descriptions]),
        lengths,
        statuses(lengths, min_length, windows, frames),
        np.bincount(windows.contig, minlength=len(batch)),
    )

    ids = frame_ids(contigs, windows, frames)
    headers = [b">%d %b\n" % pair for pair in enumerate(ids, start=placed.first_row)]
    chunks = np.searchsorted(borders, _places(placed, frames.residues), side="right") - 1
    order = np.argsort(chunks, kind="stable")
    found, starts = np.unique(chunks[order], return_index=True)
    groups = (members.tolist() for members in np.split(order, starts[1:]))
    return lines, [
        Share(
            chunk,
            len(indices),
            sum(len(nucleotides[index]) for index in indices),
            _fasta(headers, nucleotides, indices),
            _fasta(headers, proteins, indices),
        )
        for chunk, indices in zip(found.tolist(), groups, strict=False)
    ]


def _places(placed: PlacedBlock, residues: Int64s) -> Int64s:
    """int64 (f,): place of each frame of the block in the order of all frames by length and row."""
    order = np.argsort(residues, kind="stable")
    lengths, starts, counts = np.unique(residues[order], return_index=True, return_counts=True)
    if not (np.array_equal(lengths, placed.counts.residues) and np.array_equal(counts, placed.counts.frames)):
        raise UsageError("an input file changed while it was being read: start again when it is complete")
    places = np.empty(len(residues), np.int64)
    places[order] = np.repeat(placed.first_places - starts, counts) + np.arange(len(residues))
    return places


def _fasta(headers: list[bytes], sequences: list[bytes], indices: list[int]) -> Uint8s:
    lines = zip(map(headers.__getitem__, indices), map(sequences.__getitem__, indices), repeat(b"\n"))
    return np.frombuffer(b"".join(chain.from_iterable(lines)), np.uint8)
