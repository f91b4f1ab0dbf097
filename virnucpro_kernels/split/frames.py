"""The stop-free frames of windows: which of the six there are, and their nucleotide and protein sequences.

In the layouts `original` and `even`, a frame is the whole translation of a window in one of six ways, and there only if
it has no stop codon. In the layout `segments` it is the longest stop-free part of such a translation.

Everything works on the bases of many contigs laid end to end. Each base becomes a code of 0 to 3, or 4 where it is none
of A, C, G, T; each position becomes the code, 0 to 124, of the codon that begins there; and the codons are sorted by
the remainder of their positions modulo 3, so that the codons of a frame lie side by side. A frame is then one interval
of that array, read forwards or backwards, and whether it has a stop codon is one OR over the interval. Look-ups use
`bytes.translate`, which is faster than indexing an array.

Example, 11 bases: codons begin at the positions 0 to 8. There are 11 // 3 + 2 = 5 columns, and the array is

    index       0  1  2  3  4 |  5  6  7  8  9 | 10 11 12 13 14
    position    0  3  6  -  - |  1  4  7  -  - |  2  5  8  -  -        (-: no whole codon begins there)
    remainder         0       |        1       |        2

The window of the bases 1 to 8 (start 1, end 9) has two codons of each remainder: indices 1 and 2 (positions 3 and 6),
5 and 6 (1 and 4), 10 and 11 (2 and 5). Its frames F1, F2, F3 begin at the positions 1, 2, 3: remainders 1, 2, 0. On the
other strand R1 begins with the codon of the last three bases, at position 6, R2 and R3 one and two bases before that:
remainders 0, 2, 1. So F1 and R3 are the interval of the indices 5 and 6, R3 from its end to its start.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from virnucpro_kernels.pool.geometry import MIN_SEGMENT, Layout
from virnucpro_kernels.pool.labels import FRAME_NAMES
from virnucpro_kernels.sequences.arrays import Bools, Int64s, SequenceArray, Uint8s
from virnucpro_kernels.split.windows import Windows

_STOP, _REVERSE_STOP, _CODON, _NO_CODON = 1, 2, 4, 8
_OTHER_BASE = 4
_INVALID_CODON = 124
_DROPPED = b"-"
#: Largest number of segments of a window; see `find_frames`.
MAX_SEGMENTS = 3
_BLOCK_BASES = 1 << 20


def _tables() -> tuple[bytes, bytes, bytes, bytes]:
    """Return four tables for `bytes.translate`.

    They map a base to its code, and the code of a codon to its flags, to its residue, and to the residue of its reverse
    complement.
    """
    bases = "TCAG"
    # The standard genetic code (NCBI table 1) in the customary order of bases, T C A G.
    residues = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
    residue_of = {"".join(codon): residue for codon, residue in zip(product(bases, repeat=3), residues, strict=True)}
    code_of = bytearray([_OTHER_BASE] * 256)
    for code, base in enumerate(bases):
        code_of[ord(base)] = code_of[ord(base.lower())] = code
    flags = bytearray([_NO_CODON] * 256)
    forward, reverse = bytearray(_DROPPED * 256), bytearray(_DROPPED * 256)
    for codon, residue in residue_of.items():
        opposite = residue_of[codon[::-1].translate(str.maketrans("ACGT", "TGCA"))]
        first, second, third = (bases.index(base) for base in codon)
        code = 25 * first + 5 * second + third
        flags[code] = _CODON | _STOP * (residue == "*") | _REVERSE_STOP * (opposite == "*")
        forward[code], reverse[code] = ord(residue), ord(opposite)
    return bytes(code_of), bytes(flags), bytes(forward), bytes(reverse)


_CODE_OF, _FLAGS, _RESIDUE, _REVERSE_RESIDUE = _tables()
_COMPLEMENT = bytes.maketrans(b"ACGT", b"TGCA")


def _look_up(values: Uint8s, table: bytes) -> Uint8s:
    return np.frombuffer(values.tobytes().translate(table), np.uint8)


@dataclass(frozen=True, eq=False)
class OpenFrames:
    """The stop-free frames of windows, in the order of windows and, within one, of `FRAME_NAMES`.

    Attributes:
        masks: Frames of each window, uint8 (w,): bit i is set where frame i is among them.
        readable: True where a window has a complete codon of A, C, G, T in any frame, bool (w,).
        window: Index of the window, int64 (f,).
        frame: Number of the frame, 0 to 5, int64 (f,).
        first_codon: Number of the window's codons in this frame that come before the first translated one, int64 (f,).
        codons: Number of codons that are translated, int64 (f,).
        residues: Length of the protein, int64 (f,): `codons` less those that have no residue.
    """

    masks: Uint8s
    readable: Bools
    window: Int64s
    frame: Int64s
    first_codon: Int64s
    codons: Int64s
    residues: Int64s

    def __len__(self) -> int:
        return len(self.window)


class _Translation:
    """The six-frame translation of a stretch of bases, for any windows on it; see the example at the top."""

    def __init__(self, bases: Uint8s) -> None:
        self._bases = bases
        code = _look_up(bases, _CODE_OF)
        # Enough columns that an empty interval may begin just after the last codon.
        self._columns = len(code) // 3 + 2
        codon = np.full(3 * self._columns, _INVALID_CODON, np.uint8)
        codon[: max(len(code) - 2, 0)] = code[:-2] * np.uint8(25) + code[1:-1] * np.uint8(5) + code[2:]
        #: Codon codes, uint8 (3 * columns,); the codon that begins at base p has index (p mod 3) * columns + p // 3.
        self._codons = codon.reshape(-1, 3).T.ravel()

    def _intervals(self, start: Int64s, end: Int64s) -> tuple[Int64s, Int64s]:
        """Return the first index and the last plus 1, int64 (3, w) each, of each window's codons of each remainder."""
        remainder = np.arange(3)[:, None]
        first = start + (remainder - start) % 3  # position of the window's first codon of that remainder
        low = remainder * self._columns + first // 3
        return low, low + np.maximum((end - first) // 3, 0)

    @staticmethod
    def _remainders(start: Int64s, end: Int64s) -> Int64s:
        """Return the remainder of the positions of each frame's codons, int64 (6, w)."""
        offsets = np.arange(3)[:, None]
        # The codon that ends a window begins at `end - 3`, which has the remainder of `end`.
        return np.concatenate([start + offsets, end - offsets]) % 3

    def frames(self, start: Int64s, end: Int64s, layout: Layout, min_segment: int) -> OpenFrames:
        """Find the frames of windows; see `find_frames`."""
        flags = _look_up(self._codons, _FLAGS)
        low, high = self._intervals(start, end)
        # `reduceat` joins the flags from each index to the next one: every second result is that of an interval. Of an
        # empty interval it returns the flags at its start, which do not belong to it.
        seen = np.bitwise_or.reduceat(flags, np.stack([low, high], axis=2).ravel())[::2].reshape(3, -1)
        seen[low == high] = 0
        readable = (np.bitwise_or.reduce(seen, axis=0) & _CODON).astype(np.bool_)
        remainders = self._remainders(start, end)
        lows, highs = (np.take_along_axis(bound, remainders, axis=0) for bound in (low, high))
        if layout == "segments":
            return self._segments(flags, lows, highs, readable, min_segment)
        of_frame = np.take_along_axis(seen, remainders, axis=0)
        wanted = np.array([_CODON | _STOP] * 3 + [_CODON | _REVERSE_STOP] * 3, np.uint8)
        is_open = ((of_frame & wanted[:, None]) == _CODON).T
        window, frame = np.nonzero(is_open)
        first, last = lows[frame, window], highs[frame, window]
        dropped = np.flatnonzero(flags == _NO_CODON)
        # Codons without a residue are dropped: count them between both ends of the interval.
        codons = last - first
        residues = codons - (np.searchsorted(dropped, last) - np.searchsorted(dropped, first))
        return OpenFrames(_masks(is_open), readable, window, frame, np.zeros_like(window), codons, residues)

    @staticmethod
    def _segments(flags: Uint8s, lows: Int64s, highs: Int64s, readable: Bools, min_segment: int) -> OpenFrames:
        """Find the segments of windows, given the interval of each frame, (6, w)."""
        first, length = np.empty_like(lows), np.empty_like(lows)
        for strand, stop in ((slice(0, 3), _STOP), (slice(3, 6), _REVERSE_STOP)):
            breaks = np.flatnonzero(flags & (stop | _NO_CODON))
            runs = _longest_runs(lows[strand].ravel(), highs[strand].ravel(), breaks)
            first[strand], length[strand] = (values.reshape(3, -1) for values in runs)
        by_length = np.argsort(-length, axis=0, kind="stable")
        kept = np.zeros(length.shape, np.bool_)
        np.put_along_axis(kept, by_length[:MAX_SEGMENTS], True, axis=0)
        kept &= length >= min_segment
        window, frame = np.nonzero(kept.T)
        begin, codons = first[frame, window], length[frame, window]
        forward, backward = begin - lows[frame, window], highs[frame, window] - begin - codons
        first_codon = np.where(frame < 3, forward, backward)
        return OpenFrames(_masks(kept.T), readable, window, frame, first_codon, codons, codons)

    def sequences_of(
        self, start: Int64s, end: Int64s, frames: OpenFrames, layout: Layout
    ) -> tuple[list[bytes], list[bytes]]:
        """Return the nucleotide and the protein sequence of each frame; see `frame_sequences`."""
        window, frame = frames.window, frames.frame
        reverse = frame >= 3

        # Both strands end to end: the base at position p is at `len(strands) - 1 - p` of the reverse strand.
        upper = np.frombuffer(self._bases.tobytes().upper(), np.uint8)
        strands = np.concatenate([upper, _look_up(upper, _COMPLEMENT)[::-1]]).tobytes()
        first = np.where(reverse, len(strands) - end[window] + frame - 3, start[window] + frame)
        first += 3 * frames.first_codon
        stop = np.where(reverse, len(strands) - start[window], end[window])
        last = np.minimum(first + 3 * frames.residues + (layout != "segments"), stop)
        nucleotides = [strands[a:b] for a, b in zip(first.tolist(), last.tolist(), strict=True)]

        # Likewise the residues of all codons, and those of their reverse complements in reverse order.
        residues = np.concatenate(
            [_look_up(self._codons, _RESIDUE), _look_up(self._codons, _REVERSE_RESIDUE)[::-1]]
        ).tobytes()
        remainder = self._remainders(start, end)[frame, window]
        low, high = (bound[remainder, window] for bound in self._intervals(start, end))
        first = np.where(reverse, len(residues) - high, low) + frames.first_codon
        last = first + frames.codons
        proteins = [residues[a:b] for a, b in zip(first.tolist(), last.tolist(), strict=True)]
        for index in np.flatnonzero(frames.codons != frames.residues).tolist():
            proteins[index] = proteins[index].replace(_DROPPED, b"")
        return nucleotides, proteins


def _masks(is_there: Bools) -> Uint8s:
    """Return the mask of each window, uint8 (w,), from whether it has each frame, (w, 6)."""
    return np.packbits(is_there, axis=1, bitorder="little").ravel()


def _longest_runs(low: Int64s, high: Int64s, breaks: Int64s) -> tuple[Int64s, Int64s]:
    """Return start and length of each interval's longest part without a break, int64 (n,), the first of equal ones.

    Example: intervals from 0 to 10 and from 6 to 10, breaks at 3 and 8. Without them the first has 0 to 3, 4 to 8 and
    9 to 10, the second 6 to 8 and 9 to 10: the results are 4 and 6, and 4 and 2.

    Args:
        low, high: First index of each interval, and its last plus 1.
        breaks: Indices, ascending.
    """
    first, last = np.searchsorted(breaks, low), np.searchsorted(breaks, high)
    parts = last - first + 1
    offsets = np.cumsum(parts) - parts
    owner = np.repeat(np.arange(len(low)), parts)
    closing = np.arange(len(owner)) - offsets[owner] + first[owner]  # number of the break that ends the part
    begin = np.maximum(np.append(-1, breaks)[closing] + 1, low[owner])
    length = np.minimum(np.append(breaks, np.iinfo(np.int64).max)[closing], high[owner]) - begin
    longest = np.lexsort((-length, owner))[offsets]
    return begin[longest], length[longest]


def _blocks(sequences: SequenceArray, windows: Windows) -> Iterator[tuple[int, _Translation, Int64s, Int64s]]:
    """Yield first window, translation, and starts and ends on it, for runs of windows that fit into the CPU's cache."""
    origin = sequences.offsets[windows.contig]
    start, end = origin + windows.start, origin + windows.end
    first = 0
    while first < len(windows):
        last = max(first + 1, int(np.searchsorted(end, start[first] + _BLOCK_BASES, side="right")))
        low, high = start[first], end[last - 1]
        yield first, _Translation(sequences.data[low:high]), start[first:last] - low, end[first:last] - low
        first = last


def find_frames(
    sequences: SequenceArray, windows: Windows, layout: Layout, min_segment: int = MIN_SEGMENT
) -> OpenFrames:
    """Find the frames of `windows` on `sequences`.

    In the layouts `original` and `even`: those whose whole translation has no stop and is not empty. A codon with a
    character other than A, C, G, T (in either case) has no residue: the protein is shorter by one, and the codon is
    never a stop. The complement of such a character is the character itself.

    In the layout `segments`: of each of the six translations the longest part without a stop and without such a codon,
    and of these parts the `MAX_SEGMENTS` longest with at least `min_segment` residues.
    """
    blocks = _blocks(sequences, windows)
    return _join((first, block.frames(start, end, layout, min_segment)) for first, block, start, end in blocks)


def frame_sequences(
    sequences: SequenceArray, windows: Windows, layout: Layout, min_segment: int = MIN_SEGMENT
) -> tuple[OpenFrames, list[bytes], list[bytes]]:
    """Find the frames as `find_frames` does, and return them, their nucleotides and their proteins, in upper case.

    The nucleotides of a segment are its codons. Those of a whole frame with P residues are its first 3P + 1 bases, or
    fewer where the window ends, as the original tool writes them: one base more than is translated, and where codons
    were dropped not quite the bases that are translated.
    """
    found: list[tuple[int, OpenFrames]] = []
    nucleotides: list[bytes] = []
    proteins: list[bytes] = []
    for first, block, start, end in _blocks(sequences, windows):
        frames = block.frames(start, end, layout, min_segment)
        found.append((first, frames))
        texts = block.sequences_of(start, end, frames, layout)
        for all_of_them, more in zip((nucleotides, proteins), texts, strict=True):
            all_of_them += more
    return _join(found), nucleotides, proteins


def _join(blocks: Iterable[tuple[int, OpenFrames]]) -> OpenFrames:
    """Join the frames of blocks; each comes with the index of its first window."""
    empty = np.zeros(0, np.int64)
    parts = [(np.zeros(0, np.uint8), np.zeros(0, np.bool_), *5 * [empty])]
    parts += [
        (f.masks, f.readable, first + f.window, f.frame, f.first_codon, f.codons, f.residues) for first, f in blocks
    ]
    return OpenFrames(*map(np.concatenate, zip(*parts, strict=True)))


_FRAME_NAMES = [name.encode() for name in FRAME_NAMES]


def frame_ids(contigs: Sequence[bytes], windows: Windows, frames: OpenFrames) -> list[bytes]:
    """Return the original's ID of each frame: `CONTIG_chunk_NUMBER` and the frame's name."""
    contig = windows.contig[frames.window].tolist()
    number = (windows.number[frames.window] + 1).tolist()
    return [
        b"%b_chunk_%d%b" % (contigs[index], window, _FRAME_NAMES[frame])
        for index, window, frame in zip(contig, number, frames.frame.tolist(), strict=True)
    ]
