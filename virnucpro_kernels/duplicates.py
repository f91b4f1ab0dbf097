"""Finding and renaming duplicate contig IDs in eight bytes a record.

A first reading keeps 64 bits of each ID's 128-bit hash. Where values repeat, a second reading compares the other 64
bits of those records, so that two different IDs are never taken for one.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

_Hashes = npt.NDArray[np.uint64]


def hash_ids(contigs: list[str]) -> _Hashes:
    """Return uint64 (n, 2): the 128-bit hash of each ID, the same in every process."""
    digests = b"".join([blake2b(contig.encode(), digest_size=16).digest() for contig in contigs])
    return np.frombuffer(digests, "<u8").reshape(-1, 2)


class IdRegister:
    """The hashes of all IDs of a file: `add` all of them, then `close`.

    Attributes:
        repeated: uint64, hashes that occur more than once, ascending; after `close`.
        repeats: number of records whose hash an earlier one has; after `close`.
    """

    def __init__(self) -> None:
        self._collected = array("Q")
        self._sorted: _Hashes = np.zeros(0, np.uint64)
        self.repeated: _Hashes = self._sorted
        self.repeats = 0

    def add(self, contigs: list[str]) -> None:
        """Note the IDs of more records."""
        self._collected.frombytes(hash_ids(contigs)[:, 0].tobytes())

    def close(self) -> None:
        """Sort the hashes, in place."""
        self._sorted = np.frombuffer(self._collected, np.uint64)
        self._sorted.sort()
        again = self._sorted[1:][self._sorted[1:] == self._sorted[:-1]]
        self.repeated, self.repeats = np.unique(again), len(again)

    def __contains__(self, contig: str) -> bool:
        """Whether a record of the file has the ID `contig` (or, once in 10^12 questions, its hash)."""
        value = hash_ids([contig])[0, 0]
        place = int(np.searchsorted(self._sorted, value))
        return place < len(self._sorted) and bool(self._sorted[place] == value)


@dataclass(frozen=True)
class Repeat:
    """A record whose ID an earlier one has; both records are 0-based. `place` is that of the hash in `repeated`."""

    contig: str
    record: int
    earlier: int
    place: int


class RepeatFinder:
    """Finds the records whose ID came before, in a second reading of the file that filled `register`."""

    def __init__(self, register: IdRegister) -> None:
        self._register = register
        count = len(register.repeated)
        self._first_record = np.full(count, -1, np.int64)
        self._second_half = np.zeros(count, np.uint64)
        self._next_number = np.full(count, 2, np.int64)

    def repeats(self, contigs: list[str], first_record: int) -> Iterator[Repeat]:
        """Yield the repeats among the next `contigs` of the file, the first of which is record `first_record`."""
        repeated = self._register.repeated
        if not len(repeated):
            return
        hashes = hash_ids(contigs)
        places = np.searchsorted(repeated, hashes[:, 0])
        places[places == len(repeated)] = 0
        for index in np.flatnonzero(repeated[places] == hashes[:, 0]).tolist():
            place, second_half = int(places[index]), hashes[index, 1]
            if self._first_record[place] < 0:
                self._first_record[place] = first_record + index
                self._second_half[place] = second_half
            elif self._second_half[place] == second_half:
                yield Repeat(contigs[index], first_record + index, int(self._first_record[place]), place)

    def rename(self, contigs: list[str], first_record: int) -> list[str]:
        """Return the next `contigs` of the file, each repeat renamed `ID_2`, `ID_3`, …, never to an ID of the file."""
        renamed = list(contigs)
        for repeat in self.repeats(contigs, first_record):
            number = int(self._next_number[repeat.place])
            while (name := f"{repeat.contig}_{number}") in self._register:
                number += 1
            self._next_number[repeat.place] = number + 1
            renamed[repeat.record - first_record] = name
        return renamed
