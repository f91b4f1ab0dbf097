"""Where the windows of a contig lie: the original's layout, and one that spreads them evenly."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from virnucpro_kernels.sequences.arrays import Int64s

Layout = Literal["original", "even"]
LAYOUTS: tuple[str, ...] = get_args(Layout)


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of many contigs, in the order of the contigs and of their starts.

    Attributes:
        contig: int64 (w,), index of the contig.
        number: int64 (w,), rank of the window in its contig, from 0.
        start: int64 (w,), first base, 0-based, in the contig.
        end: int64 (w,), the base after the last.
    """

    contig: Int64s
    number: Int64s
    start: Int64s
    end: Int64s

    def __len__(self) -> int:
        return len(self.contig)


def place_windows(lengths: npt.ArrayLike, window_length: int, layout: Layout) -> Windows:
    """Lay windows over contigs of `lengths` (bases; a contig of length 0 gets none).

    Both layouts cut a contig of n bases into k = ceil(n / window_length) windows without a gap; a contig that fits into
    one window is that window.

    `original` has k * window_length - n bases of overlap to share out. Each window begins floor(overlap / k) bases
    before the end of the last one, and the first (overlap mod k) + floor(overlap / k) of these steps one base more. As
    there are only k - 1 steps, some overlap may be left over; then the last window is short (501: 0-500 and 250-501).
    `even` puts the last window at the end of the contig at full length, the others at equal distances, rounded down.
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
    elif layout == "even":
        start = number * (size - window_length) // np.maximum(count - 1, 1)
    else:
        raise ValueError(f"layout {layout!r}: must be one of {', '.join(LAYOUTS)}")
    return Windows(contig, number, start, np.minimum(start + window_length, size))


def window_starts(length: int, window_length: int, layout: Layout = "original") -> Int64s:
    """int64 (k,), starts of the windows of one contig; see `place_windows`."""
    return place_windows([length], window_length, layout).start


@dataclass(frozen=True)
class Geometry:
    """How contigs are cut into windows. Its text, as in `500-original`, names the work of a pool."""

    window_length: int
    layout: Layout = "original"

    def __str__(self) -> str:
        return f"{self.window_length}-{self.layout}"
