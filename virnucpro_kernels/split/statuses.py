"""What becomes of a contig: whether it has a score, and if not, why."""

import numpy as np

from virnucpro_kernels.pool.labels import STATUSES
from virnucpro_kernels.sequences.arrays import Int64s, Uint8s
from virnucpro_kernels.split.frames import OpenFrames
from virnucpro_kernels.split.windows import Windows

_SCORED, _NO_OPEN_FRAME, _TOO_SHORT, _NO_CODON, _EMPTY = range(len(STATUSES))

#: Bases of a codon: a shorter contig has no frame.
SHORTEST_CONTIG = 3


def statuses(lengths: Int64s, min_length: int, windows: Windows, frames: OpenFrames) -> Uint8s:
    """Return the status of each contig, uint8 (n,), an index into `STATUSES`.

    Args:
        lengths: int64 (n,), bases of the contigs.
        min_length: the configured minimum.
        windows: of these contigs.
        frames: of these windows.
    """
    status = np.full(len(lengths), _NO_CODON, np.uint8)
    status[windows.contig[frames.readable]] = _NO_OPEN_FRAME
    status[windows.contig[frames.masks > 0]] = _SCORED
    status[lengths < max(min_length, SHORTEST_CONTIG)] = _TOO_SHORT
    status[lengths == 0] = _EMPTY
    return status
