"""Vectors that are known before the device computes any, and those that it computes, put together in order."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from virnucpro_kernels.pool.embedding_file import Vectors
from virnucpro_kernels.sequences.arrays import Int64s


@dataclass(frozen=True, eq=False)
class Known:
    """Vectors of some of a chunk's distinct sequences.

    Attributes:
        numbers: Numbers of these sequences, int64 (k,), ascending.
        vectors: Their vectors, (k, d).
    """

    numbers: Int64s = field(default_factory=lambda: np.empty(0, np.int64))
    vectors: Vectors = field(default_factory=lambda: np.empty((0, 0), np.float32))

    def __len__(self) -> int:
        return len(self.numbers)

    @classmethod
    def joined(cls, parts: Sequence["Known"]) -> Self:
        """Put parts together that have no number in common."""
        if not parts:
            return cls()
        numbers = np.sort(np.concatenate([part.numbers for part in parts]))
        vectors = np.empty((len(numbers), *parts[0].vectors.shape[1:]), parts[0].vectors.dtype)
        for part in parts:
            vectors[np.searchsorted(numbers, part.numbers)] = part.vectors
        return cls(numbers, vectors)


class Completion:
    """Takes the vectors of the sequences that are not known, in order, and returns those of all sequences.

    Attributes:
        unknown: Numbers of the sequences to compute, int64 (m,), ascending.
        taken: Number of them whose vectors have been taken.
    """

    def __init__(self, known: Known, start: int, stop: int) -> None:
        """Prepare for the sequences `start` to `stop`."""
        first = int(np.searchsorted(known.numbers, start))
        self._numbers, self._vectors = known.numbers[first:], known.vectors[first:]
        self.unknown: Int64s = np.setdiff1d(np.arange(start, stop), self._numbers, assume_unique=True)
        self.taken = 0
        self._given, self._stop = start, stop

    @property
    def known(self) -> int:
        """Number of sequences of the range whose vectors are known."""
        return len(self._numbers)

    def take(self, vectors: Vectors) -> Vectors:
        """Take the next `vectors` (m, d); return those of the next sequences (k, d), as many as are complete with them.

        Before the first call with vectors, one without any, (0, d), returns those that are known from the start.
        """
        if not self.known:
            self.taken += len(vectors)
            return vectors
        computed = self.unknown[self.taken : self.taken + len(vectors)]
        self.taken += len(vectors)
        start = self._given
        self._given = int(self.unknown[self.taken]) if self.taken < len(self.unknown) else self._stop
        first, last = np.searchsorted(self._numbers, (start, self._given))
        complete = np.empty((self._given - start, self._vectors.shape[1]), self._vectors.dtype)
        complete[computed - start] = vectors
        complete[self._numbers[first:last] - start] = self._vectors[first:last]
        return complete
