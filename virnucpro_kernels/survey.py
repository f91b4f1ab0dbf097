"""What a batch of contigs holds: its windows, which frames they have, and why a contig has none."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from virnucpro_kernels.frames import find_frames
from virnucpro_kernels.sequences import SequenceArray
from virnucpro_kernels.windows import Geometry, Windows, place_windows

#: What becomes of a contig, by its code in `Survey.status`: it has a frame; none of its windows has a stop-free frame;
#: it is shorter than three bases or than the configured minimum; it has no complete codon; it has no base.
STATUSES = ("scored", "no_open_frame", "too_short", "no_codon", "empty")
_SCORED, _NO_OPEN_FRAME, _TOO_SHORT, _NO_CODON, _EMPTY = range(len(STATUSES))

#: Bases of a codon: what is shorter has no frame.
SHORTEST_CONTIG = 3

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Survey:
    """Windows and frames of a batch of n contigs, w windows, f frames.

    Attributes:
        status: uint8 (n,), index into `STATUSES`.
        windows: the windows, their contigs counted within the batch.
        masks: uint8 (w,), for each window, bit i set where frame i of `FRAME_NAMES` is there.
        frames: f.
        residues: int64 (k,), the different lengths of proteins, ascending.
        frames_of_length: int64 (k,), frames of each length.
    """

    status: npt.NDArray[np.uint8]
    windows: Windows
    masks: npt.NDArray[np.uint8]
    frames: int
    residues: Int64s
    frames_of_length: Int64s


def batch_windows(sequences: SequenceArray, geometry: Geometry, min_length: int) -> Windows:
    """Lay windows over the contigs of a batch, none over those shorter than `min_length` or than three bases."""
    lengths = sequences.lengths
    long_enough = lengths >= max(min_length, SHORTEST_CONTIG)
    return place_windows(np.where(long_enough, lengths, 0), geometry.window_length, geometry.layout)


def survey(sequences: SequenceArray, *, geometry: Geometry, min_length: int) -> Survey:
    """Survey a batch of contigs."""
    windows = batch_windows(sequences, geometry, min_length)
    found = find_frames(sequences, windows)

    status = np.full(len(sequences), _NO_CODON, np.uint8)
    status[windows.contig[found.readable]] = _NO_OPEN_FRAME
    status[windows.contig[found.masks > 0]] = _SCORED
    status[sequences.lengths < max(min_length, SHORTEST_CONTIG)] = _TOO_SHORT
    status[sequences.lengths == 0] = _EMPTY
    residues, frames_of_length = np.unique(found.residues, return_counts=True)
    return Survey(status, windows, found.masks, len(found), residues, frames_of_length.astype(np.int64))
