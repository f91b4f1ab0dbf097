"""Duplicate contig IDs, found and renamed with eight bytes of memory a record.

A first pass keeps a 64-bit hash of each ID. Where hashes repeat, a second pass compares a digest of those IDs as well,
so that two different IDs with the same hash are not taken for one.
"""

from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np

from virnucpro_kernels.sequences.arrays import Int64s
from virnucpro_kernels.sequences.formats import find_lines
from virnucpro_kernels.sequences.problems import LISTED_PER_KIND, InputError, Problem
from virnucpro_kernels.sequences.records import parse_batches
from virnucpro_kernels.sequences.sniff import Sniffed


def _hashes(contigs: list[str]) -> Int64s:
    """Return Python's hash of each ID, int64 (n,): fast, and the same within one process only."""
    return np.fromiter(map(hash, contigs), np.int64, len(contigs))


def _digest(contig: str) -> int:
    return int.from_bytes(blake2b(contig.encode(), digest_size=8).digest())


class IdRegister:
    """The hashes of all IDs of a file: `add` all of them, then `close`. They are valid in the process that made them.

    Attributes:
        repeated: Hashes that occur more than once, int64, ascending; after `close`.
        repeats: Number of records with the hash of an earlier record; after `close`.
    """

    def __init__(self) -> None:
        self._collected = array("q")
        self._sorted: Int64s = np.zeros(0, np.int64)
        self.repeated: Int64s = self._sorted
        self.repeats = 0

    def add(self, contigs: list[str]) -> None:
        """Add the IDs of more records."""
        self._collected.frombytes(_hashes(contigs).tobytes())

    def close(self) -> None:
        """Sort the hashes, in place."""
        self._sorted = np.frombuffer(self._collected, np.int64)
        self._sorted.sort()
        again = self._sorted[1:][self._sorted[1:] == self._sorted[:-1]]
        self.repeats = len(again)
        self.repeated = again[np.append(True, again[1:] != again[:-1])] if self.repeats else again

    def __reduce__(self) -> str:
        raise TypeError("the hashes of IDs mean nothing in another process")

    def __contains__(self, contig: str) -> bool:
        """Whether a record of the file has the ID `contig` (or, once in 10^11 cases, only the hash of that)."""
        value = hash(contig)
        place = int(np.searchsorted(self._sorted, value))
        return place < len(self._sorted) and bool(self._sorted[place] == value)


@dataclass(frozen=True)
class Repeat:
    """A record with the ID of an earlier record.

    Attributes:
        contig: ID.
        record: 0-based number of the record.
        earlier: 0-based number of the first record with this ID.
        place: Index of the hash in `IdRegister.repeated`.
    """

    contig: str
    record: int
    earlier: int
    place: int


class RepeatFinder:
    """Finds the records with the ID of an earlier record, in a second pass over the file that filled `register`."""

    def __init__(self, register: IdRegister) -> None:
        self._register = register
        count = len(register.repeated)
        self._first_record = np.full(count, -1, np.int64)
        self._first_digest = np.zeros(count, np.uint64)
        self._next_number = np.full(count, 2, np.uint32)

    def repeats(self, contigs: list[str], first_record: int) -> Iterator[Repeat]:
        """Yield the repeats among the next `contigs` of the file, which begin with record `first_record`."""
        repeated = self._register.repeated
        if not len(repeated):
            return
        hashes = _hashes(contigs)
        places = np.searchsorted(repeated, hashes)
        places[places == len(repeated)] = 0
        for index in np.flatnonzero(repeated[places] == hashes).tolist():
            place, digest = int(places[index]), _digest(contigs[index])
            if self._first_record[place] < 0:
                self._first_record[place] = first_record + index
                self._first_digest[place] = digest
            elif self._first_digest[place] == digest:
                yield Repeat(contigs[index], first_record + index, int(self._first_record[place]), place)

    def rename(self, contigs: list[str], first_record: int) -> list[str]:
        """Return the next `contigs` of the file, repeats renamed `ID_2`, `ID_3`, …, never to another ID of the file."""
        renamed = list(contigs)
        for repeat in self.repeats(contigs, first_record):
            number = int(self._next_number[repeat.place])
            while (name := f"{repeat.contig}_{number}") in self._register:
                number += 1
            self._next_number[repeat.place] = number + 1
            renamed[repeat.record - first_record] = name
        return renamed


def duplicate_problems(register: IdRegister, path: Path, name: str, sniffed: Sniffed) -> list[Problem]:
    """Return the number of repeats and the first of them as problems; where IDs may repeat, the file is read again."""
    if not len(register.repeated):
        return []
    finder, count = RepeatFinder(register), 0
    found: list[Repeat] = []
    with suppress(InputError):  # the first pass has reported that the file is damaged
        for batch in parse_batches(path, name, sniffed):
            for repeat in finder.repeats(batch.contigs, batch.first_record):
                count += 1
                if len(found) < LISTED_PER_KIND:
                    found.append(repeat)
    if not count:
        return []
    lines = find_lines(path, sniffed, {number + 1 for repeat in found for number in (repeat.record, repeat.earlier)})
    listed = [_duplicate(repeat, lines, name) for repeat in found]
    records = "1 record has" if count == 1 else f"{count:,} records have"
    advice = (
        "give each its own ID, or have them numbered: `--set duplicate_ids=suffix` of `virnucpro predict`, or"
        " `duplicate_ids: suffix` in the configuration"
    )
    first = f", the first {len(found)} follow" if count > len(found) else ""
    return [Problem("error", "duplicate_id", name, f"{records} the ID of an earlier one{first}: {advice}"), *listed]


def _duplicate(repeat: Repeat, lines: dict[int, int], name: str) -> Problem:
    earlier = f"record {repeat.earlier + 1:,}"
    if lines:
        earlier += f" (line {lines[repeat.earlier + 1]:,})"
    message = f"{repeat.contig!r} is the ID of {earlier} too"
    return Problem("error", "duplicate_id", name, message, repeat.record + 1, lines.get(repeat.record + 1))
