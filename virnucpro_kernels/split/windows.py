"""Where the windows of a contig lie: the original's layout, or spread evenly."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from virnucpro_kernels.pool.geometry import LAYOUTS, Layout
from virnucpro_kernels.sequences.arrays import Int64s


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of many contigs, in the order of the contigs and of their starts.

    Attributes:
        contig: Index of the contig, int64 (w,).
        number: Rank of the window in its contig, from 0, int64 (w,).
        start: First base in the contig, 0-based, int64 (w,).
        end: Base after the last, int64 (w,).
    """

    contig: Int64s
    number: Int64s
    start: Int64s
    end: Int64s

    def __len__(self) -> int:
        return len(self.contig)


def place_windows(lengths: npt.ArrayLike, window_length: int, layout: Layout) -> Windows:
    """Lay windows over contigs.

    All layouts cover a contig of n bases with k = ceil(n / window_length) windows without a gap; a contig that fits
    into one window is that window.

    `original` has k * window_length - n bases of overlap to distribute. Each window begins floor(overlap / k) bases
    before the end of the previous one, and the first (overlap mod k) + floor(overlap / k) windows after the first one
    begin one base earlier still. Only k - 1 windows follow another, so some overlap may remain; then the last window is
    short. Example: 501 bases and windows of 500 have k = 2 and an overlap of 499; the windows are 0-500 and 250-501.
    `even` puts the last window at the end of the contig at full length, the others at equal distances, rounded down; so
    does `segments`, which differs in the frames.

    Args:
        lengths: Number of bases of each contig; a contig of length 0 gets no window.
        window_length: Bases of a window.
        layout: One of `LAYOUTS`.

    Raises:
        ValueError: the window length is less than 1, or the layout is none of these.
    """
    if window_length < 1:
        raise ValueError(f"window length {window_length}: must be at least 1")
    sizes = np.asarray(lengths, np.int64)
    counts = -(-sizes // window_length)
    contig = np.repeat(np.arange(len(sizes)), counts)
    number = np.arange(len(contig)) - np.repeat(np.cumsum(counts) - counts, counts)
    size, count = sizes[contig], counts[contig]
    if layout == "original":
        low, rest = np.divmod(count * window_length - size, count)
        start = number * (window_length - low) - np.minimum(number, low + rest)
    elif layout in LAYOUTS:
        start = number * (size - window_length) // np.maximum(count - 1, 1)
    else:
        raise ValueError(f"layout {layout!r}: must be one of {', '.join(LAYOUTS)}")
    return Windows(contig, number, start, np.minimum(start + window_length, size))
