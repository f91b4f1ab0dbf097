"""The first pass over a block of contigs: which windows and frames it has."""

from dataclasses import dataclass

import numpy as np

from virnucpro_kernels.pool.geometry import Geometry
from virnucpro_kernels.pool.labels import STATUSES
from virnucpro_kernels.sequences.arrays import Int64s, SequenceArray, Uint8s
from virnucpro_kernels.sequences.formats import FileBlock
from virnucpro_kernels.sequences.sample_input import BlockCheck, check_block
from virnucpro_kernels.split.frames import OpenFrames, find_frames
from virnucpro_kernels.split.windows import Windows, place_windows


@dataclass(frozen=True, eq=False)
class FrameCounts:
    """Number of frames of each length of the protein.

    Attributes:
        residues: Lengths that occur, int64 (k,), ascending.
        frames: Number of frames of each of these lengths, int64 (k,).
    """

    residues: Int64s
    frames: Int64s


@dataclass(frozen=True, eq=False)
class FirstPass:
    """Windows and frames of a block of contigs with w windows.

    Attributes:
        check: Problems of the block, and its IDs.
        windows: Windows, their contigs counted within the block.
        masks: Frames of each window, uint8 (w,): bit i is set where frame i of `FRAME_NAMES` is among them.
        counts: Number of frames by length.
    """

    check: BlockCheck
    windows: Windows
    masks: Uint8s
    counts: FrameCounts


#: Bases of a codon: a shorter contig has no frame.
SHORTEST_CONTIG = 3


def lay_windows(sequences: SequenceArray, geometry: Geometry, min_length: int) -> Windows:
    """Lay windows over contigs, none over those shorter than `min_length` or than three bases."""
    lengths = sequences.lengths
    long_enough = lengths >= max(min_length, SHORTEST_CONTIG)
    return place_windows(np.where(long_enough, lengths, 0), geometry.window_length, geometry.layout)


def count_frames(block: FileBlock, *, geometry: Geometry, min_length: int) -> FirstPass:
    """Parse and check a block of contigs, and find and count its frames."""
    batch, check = check_block(block)
    sequences = batch.sequences.as_dna()
    windows = lay_windows(sequences, geometry, min_length)
    found = find_frames(sequences, windows, geometry.layout, geometry.min_segment)
    residues, frames = np.unique(found.residues, return_counts=True)
    return FirstPass(check, windows, found.masks, FrameCounts(residues, frames.astype(np.int64)))


_SCORED, _NO_OPEN_FRAME, _TOO_SHORT, _NO_CODON, _EMPTY = range(len(STATUSES))


def statuses(lengths: Int64s, min_length: int, windows: Windows, frames: OpenFrames) -> Uint8s:
    """Return the status of each contig, uint8 (n,), an index into `STATUSES`.

    Args:
        lengths: Number of bases of each contig, int64 (n,).
        min_length: Configured smallest number of bases.
        windows: Windows of these contigs.
        frames: Frames of these windows.
    """
    status = np.full(len(lengths), _NO_CODON, np.uint8)
    status[windows.contig[frames.readable]] = _NO_OPEN_FRAME
    status[windows.contig[frames.masks > 0]] = _SCORED
    status[lengths < max(min_length, SHORTEST_CONTIG)] = _TOO_SHORT
    status[lengths == 0] = _EMPTY
    return status
