"""The second pass over a block of contigs: their lines in the table, and their frames as text for the chunk files."""

from dataclasses import dataclass
from itertools import chain, repeat

import numpy as np

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.pool.geometry import Geometry
from virnucpro_kernels.pool.labels import NOTES
from virnucpro_kernels.sequences.arrays import Int64s, SequenceArray, Uint8s
from virnucpro_kernels.sequences.formats import FileBlock
from virnucpro_kernels.sequences.records import RecordBatch
from virnucpro_kernels.sequences.sample_input import read_block
from virnucpro_kernels.split.first_pass import FrameCounts, lay_windows, statuses
from virnucpro_kernels.split.frames import frame_ids, frame_sequences

INPUT_CHANGED = "an input file changed while it was being read: start again when it is complete"


@dataclass(frozen=True, eq=False)
class RankedBlock:
    """A block of contigs, and the ranks of its frames in the pool.

    Attributes:
        block: Contigs.
        first_row: Row of the first frame.
        counts: Number of frames by length, as the first pass found them.
        first_ranks: Rank of the block's first frame of each length in the order of all frames of the pool by length
            and row, int64 (k,). The block's other frames of this length follow it.
    """

    block: FileBlock | RecordBatch
    first_row: int
    counts: FrameCounts
    first_ranks: Int64s


@dataclass(frozen=True)
class ChunkPiece:
    """The frames of a block that belong to one chunk.

    Attributes:
        chunk: Number of the chunk.
        rows: Number of frames.
        bases: Number of bases of their nucleotide sequences.
        nucleotides: FASTA text, uint8.
        proteins: FASTA text, uint8, the same frames in the same order.
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
        contigs, descriptions: IDs and the rest of the headers, UTF-8.
        lengths: Number of bases, int64 (n,).
        statuses: Indices into `STATUSES`, uint8 (n,).
        windows: Number of windows, int64 (n,).
        notes: Indices into `NOTES`, uint8 (n,).
    """

    contigs: SequenceArray
    descriptions: SequenceArray
    lengths: Int64s
    statuses: Uint8s
    windows: Int64s
    notes: Uint8s


def extract_frames(
    ranked: RankedBlock, *, borders: Int64s, geometry: Geometry, min_length: int
) -> tuple[ContigLines, list[ChunkPiece]]:
    """Return the lines of a block's contigs, and its frames as pieces of chunks, each in the order of the rows.

    Args:
        ranked: Contigs.
        borders: Borders of the `ChunkPlan`, int64 (chunks + 1,).
        geometry, min_length: Values of the first pass.

    Raises:
        UsageError: the block is not what it was in the first pass.
    """
    batch = read_block(ranked.block)
    sequences = batch.sequences.as_dna()
    windows = lay_windows(sequences, geometry, min_length)
    frames, nucleotides, proteins = frame_sequences(sequences, windows, geometry.layout, geometry.min_segment)
    lengths = batch.sequences.lengths
    contigs = [contig.encode() for contig in batch.contigs]
    lines = ContigLines(
        SequenceArray.from_list(contigs),
        SequenceArray.from_list([description.encode() for description in batch.descriptions]),
        lengths,
        statuses(lengths, min_length, windows, frames),
        np.bincount(windows.contig, minlength=len(batch)),
        np.where(batch.sequences.holds_uracil(), NOTES.index("rna"), NOTES.index("")).astype(np.uint8),
    )

    ids = frame_ids(contigs, windows, frames)
    headers = [b">%d %b\n" % pair for pair in enumerate(ids, start=ranked.first_row)]
    chunks = np.searchsorted(borders, _ranks(ranked, frames.residues), side="right") - 1
    order = np.argsort(chunks, kind="stable")
    found, starts = np.unique(chunks[order], return_index=True)
    groups = (members.tolist() for members in np.split(order, starts[1:]))
    return lines, [
        ChunkPiece(
            chunk,
            len(indices),
            sum(len(nucleotides[index]) for index in indices),
            _fasta(headers, nucleotides, indices),
            _fasta(headers, proteins, indices),
        )
        for chunk, indices in zip(found.tolist(), groups, strict=False)
    ]


def _ranks(ranked: RankedBlock, residues: Int64s) -> Int64s:
    """Return the rank of each frame of the block in the order of all frames of the pool by length and row.

    Example: the block's proteins have 5, 3 and 5 residues, and its first frames of 3 and of 5 residues are at the
    ranks 10 and 40 of the pool (`first_ranks`). The ranks are 40, 10 and 41.

    Args:
        ranked: Block.
        residues: Length of the protein of each of its frames, int64 (f,).

    Returns:
        int64 (f,).
    """
    # In the example, sorted by length: residues 3, 5, 5, which start at 0 and 1. A frame's rank is its index in this
    # order plus, for its length, first rank minus start: 0 + (10 - 0), 1 + (40 - 1), 2 + (40 - 1).
    order = np.argsort(residues, kind="stable")
    lengths, starts, counts = np.unique(residues[order], return_index=True, return_counts=True)
    if not (np.array_equal(lengths, ranked.counts.residues) and np.array_equal(counts, ranked.counts.frames)):
        raise UsageError(INPUT_CHANGED)
    ranks = np.empty(len(residues), np.int64)
    ranks[order] = np.repeat(ranked.first_ranks - starts, counts) + np.arange(len(residues))
    return ranks


def _fasta(headers: list[bytes], sequences: list[bytes], indices: list[int]) -> Uint8s:
    lines = zip(map(headers.__getitem__, indices), map(sequences.__getitem__, indices), repeat(b"\n"))
    return np.frombuffer(b"".join(chain.from_iterable(lines)), np.uint8)
