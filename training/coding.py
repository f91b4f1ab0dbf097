"""Which segments are coding, guessed from the whole record: that is, from stretches without a stop beyond the window.

Genes are long stretches without a stop, and what lies beside them in the other five frames is not translated. So a
segment is coding if the stretch that it is a part of, from stop to stop in its record, has at least `LONG` codons and
none over the segment's middle is longer. It is not coding if a longer one of at least `LONG` codons lies there.
Elsewhere, as in introns and between genes, nothing is said.
"""

import numpy as np
import numpy.typing as npt
import torch

from training.codons import STOPS
from virnucpro_kernels.sequences.arrays import Bools, Uint8s

#: Codons of a stretch that is taken for a gene.
LONG = 200
UNKNOWN, NOT_CODING, CODING = -1, 0, 1
_UNREADABLE = 4  # code of a base other than A, C, G, T, and of a higher one
_STOPS = np.array(STOPS)
#: Whether the reverse complement of each codon is a stop.
_REVERSE_STOPS = _STOPS.reshape(4, 4, 4)[::-1, ::-1, ::-1].transpose(2, 1, 0).ravel()


def stretch_lengths(codes: Uint8s) -> npt.NDArray[np.int16]:
    """Return the length in codons of the stretch without a stop of each codon of a record, int16 (2, n).

    Row 0 is for the codon that begins at a base, row 1 for the reverse complement of the same three bases. A codon that
    is a stop, that has an unknown base or that is cut off ends a stretch, and its own length is 0.

    Args:
        codes: Bases as codes 0 to 3 for A, C, G, T, uint8 (n,).
    """
    found = np.zeros((2, len(codes)), np.int16)
    if len(codes) < 3:
        return found
    first, second, third = codes[:-2], codes[1:-1], codes[2:]
    unreadable = (first >= _UNREADABLE) | (second >= _UNREADABLE) | (third >= _UNREADABLE)
    codon = np.where(unreadable, 0, first * np.uint8(16) + second * np.uint8(4) + third)
    for row, stops in enumerate((_STOPS, _REVERSE_STOPS)):
        ends = stops[codon] | unreadable
        for frame in range(3):
            found[row, frame : len(ends) : 3] = _run_lengths(ends[frame::3])
    return found


def _run_lengths(ends: Bools) -> npt.NDArray[np.int16]:
    """Return for each place the number of places between the end before it and the end behind it; 0 for an end."""
    places = np.flatnonzero(np.append(ends, True))
    lengths = np.diff(places, prepend=-1) - 1
    of_place = np.repeat(lengths, lengths + 1)[: len(ends)]
    return np.where(ends, 0, of_place.clip(max=np.iinfo(np.int16).max)).astype(np.int16)


def label_segments(stretches: torch.Tensor, place: torch.Tensor, strand: torch.Tensor) -> torch.Tensor:
    """Return `CODING`, `NOT_CODING` or `UNKNOWN` for segments, int64 (s,).

    Args:
        stretches: Lengths of stretches, (2, n).
        place: First base, on the forward strand, of the codon in the middle of each segment, int64 (s,).
        strand: Strand of each, 0 or 1, int64 (s,).
    """
    over_middle = place[:, None] + torch.arange(-1, 2, device=place.device)  # all codons with the base in its middle
    longest = stretches[:, over_middle].amax((0, 2))
    is_longest = (stretches[strand, place] == longest).long()
    return torch.where(longest < LONG, UNKNOWN, is_longest)
