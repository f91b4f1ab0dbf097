"""Pieces of genomes of a split, drawn evenly from categories and groups, as a FASTA file and a table of what they are.

The records of the split are held in memory, a byte a base.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import atomic_path
from virnucpro_kernels.pool.tsv import write_rows
from virnucpro_kernels.score.tables import deterministic_gzip
from virnucpro_kernels.score.viral_fasta import fasta_entry
from virnucpro_kernels.sequences.records import Record
from virnucpro_kernels.train.genomes import Genome

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

#: Files in a folder of pieces: their sequences, and what they are, as `virnucpro evaluate` takes it.
PIECE_FASTA, TRUTH = "contigs.fna.gz", "truth.tsv"
_UNAMBIGUOUS = b"ACGTacgt"
#: Places that are tried for a piece before the split is taken to have none.
_TRIES = 10_000
_Member = tuple[Record, Mapping[str, str]]


@dataclass(frozen=True)
class Place:
    """Where a piece was drawn: a record, its line of the table of genomes, and the first base, from 0."""

    record: Record
    row: Mapping[str, str]
    start: int


class SplitRecords:
    """The records of one split: per class and category, per group of relatives, the sequences."""

    def __init__(self, records: Iterable[tuple[Genome, Record]]) -> None:
        """Read all `records` of the split, each with its line of the table."""
        #: label → category → group → records with their lines
        self._tree: dict[str, dict[str, dict[str, list[_Member]]]] = defaultdict(lambda: defaultdict(dict))
        self._longest: dict[str, int] = defaultdict(int)
        for genome, record in records:
            groups = self._tree[genome.label][genome.category]
            groups.setdefault(genome.group, []).append((record, genome.line))
            self._longest[genome.label] = max(self._longest[genome.label], len(record.sequence))

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that the split has: `virus` and `host`, or one of them."""
        return tuple(label for label in ("virus", "host") if label in self._tree)

    def longest(self, label: str) -> int:
        """Return the length in bp of the longest record of a label; 0 where there is none."""
        return self._longest.get(label, 0)

    def sequences(self) -> Iterable[bytes]:
        """All sequences of the split."""
        for categories in self._tree.values():
            for groups in categories.values():
                for members in groups.values():
                    yield from (record.sequence for record, _ in members)

    def draw_place(self, label: str, length: int, chance: np.random.Generator) -> Place:
        """Draw where a piece of a virus or of a host is.

        Each category of a class is as likely as the others, so is each group of a category; within a group every base
        is. Pieces with anything but A, C, G, T are drawn again: hosts may be masked where they resemble a virus.

        Args:
            label: `virus` or `host`.
            length: Length in bp.
            chance: Decides.

        Raises:
            UsageError: no record of the label is so long, or hardly any place has no unknown base.
        """
        if self.longest(label) < length:
            raise UsageError(f"no record of a {label} in this split has {length:,} bp")
        categories = list(self._tree[label].values())
        for _ in range(_TRIES):
            groups = list(categories[chance.integers(len(categories))].values())
            members = groups[chance.integers(len(groups))]
            places = np.cumsum([max(len(record.sequence) - length + 1, 0) for record, _ in members])
            if not places[-1]:
                continue
            place = chance.integers(places[-1])
            index = int(np.searchsorted(places, place, side="right"))
            start = int(place - (places[index - 1] if index else 0))
            record, row = members[index]
            if not record.sequence[start : start + length].translate(None, _UNAMBIGUOUS):
                return Place(record, row, start)
        raise UsageError(
            f"of {_TRIES:,} places of {length:,} bp in records of a {label}, none was without an unknown base; give"
            " more genomes"
        )


def draw_places(
    records: SplitRecords, shortest: int, longest: int, number: int, chance: np.random.Generator
) -> Iterator[tuple[Place, int]]:
    """Yield `number` pieces, half of them viral where the split has both labels, and the length of each.

    Args:
        records: Records of the split.
        shortest, longest: Limits of the lengths in bp; short and long ones are drawn alike.
        number: Number of pieces.
        chance: Decides.

    Raises:
        UsageError: as for `SplitRecords.draw_place`.
    """
    limits = np.log([shortest, longest])
    for place in range(number):
        length = round(float(np.exp(chance.uniform(*limits))))
        yield records.draw_place(records.labels[place % len(records.labels)], length, chance), length


def write_pieces(
    directory: Path, row_class: "type[DataclassInstance]", pieces: "Iterable[tuple[DataclassInstance, bytes]]"
) -> int:
    """Write the sequences of pieces and the table of what they are; return their number.

    Args:
        directory: Folder of both, which is made.
        row_class: Class of the rows of the table, which has a field `contig`.
        pieces: A row and the bases of each.
    """
    rows = []
    with atomic_path(directory / PIECE_FASTA) as temporary, deterministic_gzip(temporary) as file:
        for row, bases in pieces:
            rows.append(row)
            file.write(fasta_entry(vars(row)["contig"], bases))
    write_rows(directory / TRUTH, row_class, rows)
    return len(rows)
