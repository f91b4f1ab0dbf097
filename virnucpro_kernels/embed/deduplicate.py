"""Identical sequences are embedded once: the distinct ones of a chunk, and their vectors handed out to all rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from virnucpro_kernels.sequences.arrays import Int64s, SequenceArray


@dataclass(frozen=True, eq=False)
class Distinct:
    """The distinct sequences among n sequences.

    Attributes:
        sequences: Distinct sequences, u of them, in the order of their first occurrence.
        first: Row of the first occurrence of each distinct sequence, int64 (u,), ascending.
        of_row: Number of the distinct sequence of each row, int64 (n,); `of_row[first]` is 0, 1, 2, …
    """

    sequences: SequenceArray
    first: Int64s
    of_row: Int64s

    def __len__(self) -> int:
        return len(self.first)


def find_distinct(sequences: SequenceArray) -> Distinct:
    """Return the distinct ones of `sequences`."""
    encoded = sequences.to_arrow().dictionary_encode()
    of_row = encoded.indices.to_numpy().astype(np.int64)
    # Numbers are given in the order of first occurrence: a sequence is new where its number is higher than all before.
    first = np.flatnonzero(np.diff(np.maximum.accumulate(of_row), prepend=-1) > 0)
    return Distinct(SequenceArray.from_arrow(encoded.dictionary), first, of_row)


class FanOut:
    """Takes the vectors of the distinct sequences in their order, and returns the vectors of all rows in row order.

    A vector is kept in memory only where its sequence occurs more than once.

    Attributes:
        taken: Number of distinct sequences whose vectors have been taken.
        given: Number of rows whose vectors have been returned.
    """

    def __init__(self, distinct: Distinct, dimension: int, dtype: npt.DTypeLike) -> None:
        """Prepare for vectors of `dimension` values of `dtype`."""
        self._of_row = distinct.of_row
        repeated = np.bincount(distinct.of_row, minlength=len(distinct)) > 1
        # Index of each distinct sequence among the kept vectors; -1 where its vector is needed only once.
        self._slot = np.where(repeated, np.cumsum(repeated) - 1, -1)
        self._kept = np.empty((int(repeated.sum()), dimension), dtype)
        # With the vector of distinct sequence i, all rows before the first occurrence of i + 1 are complete, because
        # distinct sequences are numbered in the order of their first occurrence.
        self._ends = np.append(distinct.first[1:], len(distinct.of_row))
        self.taken = self.given = 0

    def take(self, vectors: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Take the next `vectors` (m, d); return those of the next rows (k, d), as many as are complete with them.

        For rows with the sequences a b a a c b, one vector at a time: a completes row 0; b completes rows 1 to 3, where
        a comes again; c completes rows 4 and 5, where b comes again.
        """
        if len(vectors) == 0:
            return vectors
        before, self.taken = self.taken, self.taken + len(vectors)
        start, self.given = self.given, int(self._ends[self.taken - 1])
        slots = self._slot[before : self.taken]
        self._kept[slots[slots >= 0]] = vectors[slots >= 0]
        # The rows that are complete now, as numbers of distinct sequences: some new, some seen in earlier calls.
        wanted = self._of_row[start : self.given]
        if len(wanted) == len(vectors):  # every row is the first occurrence of its sequence
            out = vectors
        else:
            out = np.empty((len(wanted), vectors.shape[1]), self._kept.dtype)
            new = wanted >= before
            out[new] = vectors[wanted[new] - before]
            out[~new] = self._kept[self._slot[wanted[~new]]]
        if self.given == len(self._of_row):
            self._kept = self._kept[:0].copy()  # nothing more is wanted
        return out
