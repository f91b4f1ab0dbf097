"""Draws labelled pieces from a folder of real genomes that are split by relatedness."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from virnucpro_kernels.sequences.arrays import SequenceArray
from virnucpro_kernels.sequences.records import Record
from virnucpro_kernels.train.genomes import TABLE, read_split

_UNAMBIGUOUS = b"ACGTacgt"
_Member = tuple[Record, Mapping[str, str]]


@dataclass(frozen=True, eq=False)
class Pieces:
    """Pieces of genomes with their class.

    Attributes:
        sequences: n pieces.
        is_virus: bool (n,).
        rows: the row of `genomes.tsv` of each, where they were drawn.
    """

    sequences: SequenceArray
    is_virus: npt.NDArray[np.bool_]
    rows: tuple[Mapping[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.is_virus)


@dataclass(frozen=True)
class Place:
    """Where a piece was drawn: a record, its row of `genomes.tsv`, and the first base, from 0."""

    record: Record
    row: Mapping[str, str]
    start: int


class Genomes:
    """The records of one split: per class and category, per group of relatives, the sequences."""

    def __init__(self, folder: Path, split: str) -> None:
        """Read `genomes.tsv` and the `<category>.fna.gz` files of `folder`; keep the records of `split`."""
        #: label → category → group → records with their rows
        self._tree: dict[str, dict[str, dict[str, list[_Member]]]] = defaultdict(lambda: defaultdict(dict))
        self._longest: dict[str, int] = defaultdict(int)
        for genome, record in read_split(folder / TABLE, split):
            row = genome.line
            groups = self._tree[row["label"]][row["category"]]
            groups.setdefault(row["group"], []).append((record, row))
            self._longest[row["label"]] = max(self._longest[row["label"]], len(record.sequence))

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that the split has: `virus` and `host`, or one of them."""
        return tuple(label for label in ("virus", "host") if label in self._tree)

    def sequences(self) -> Iterable[bytes]:
        """All sequences of the split."""
        for categories in self._tree.values():
            for groups in categories.values():
                for members in groups.values():
                    yield from (record.sequence for record, _ in members)

    def draw(self, lengths: npt.ArrayLike, seed: int) -> Pieces:
        """Draw two pieces, one of a virus and one of a host, of each of the `lengths` (bp).

        Each category of a class is as likely as the others, so is each group of a category; within a group every base
        is. Pieces with anything but A, C, G, T are drawn again: hosts are masked where they resemble a virus.
        """
        chance = np.random.default_rng(seed)
        pieces, rows = [], []
        for length in np.asarray(lengths).tolist():
            for label in ("virus", "host"):
                place = self.draw_place(label, length, chance)
                pieces.append(place.record.sequence[place.start : place.start + length])
                rows.append(place.row)
        labels = np.array([row["label"] == "virus" for row in rows])
        return Pieces(SequenceArray.from_list(pieces), labels, tuple(rows))

    def draw_one(self, label: str, length: int, chance: np.random.Generator) -> bytes:
        """Draw a piece of a virus or of a host, as `draw` does."""
        place = self.draw_place(label, length, chance)
        return place.record.sequence[place.start : place.start + length]

    def draw_place(self, label: str, length: int, chance: np.random.Generator) -> Place:
        """Draw where such a piece is."""
        categories = list(self._tree[label].values())
        if self._longest[label] < length:
            raise SystemExit(f"no record of a {label} in this split has {length:,} bp")
        while True:
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
