"""Draws labelled pieces from a folder of real genomes that are split by relatedness."""

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from virnucpro_kernels.sequences.arrays import SequenceArray
from virnucpro_kernels.sequences.records import Record, read_records

_UNAMBIGUOUS = b"ACGTacgt"


@dataclass(frozen=True, eq=False)
class Pieces:
    """Pieces of genomes with their class.

    Attributes:
        sequences: n pieces.
        is_virus: bool (n,).
    """

    sequences: SequenceArray
    is_virus: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.is_virus)


def read_split(folder: Path, split: str) -> Iterator[tuple[Record, Mapping[str, str]]]:
    """Yield the records of a split with their rows of `genomes.tsv`, by category: `<category>.fna.gz` of `folder`."""
    with (folder / "genomes.tsv").open(newline="") as table:
        rows = {row["seq_id"]: row for row in csv.DictReader(table, delimiter="\t") if row["split"] == split}
    if not rows:
        raise SystemExit(f"{folder / 'genomes.tsv'}: no record of split {split!r}")
    for category in sorted({row["category"] for row in rows.values()}):
        for record in read_records(folder / f"{category}.fna.gz"):
            if row := rows.get(record.contig):
                yield record, row


class Genomes:
    """The records of one split: per class and category, per group of relatives, the sequences."""

    def __init__(self, folder: Path, split: str) -> None:
        """Read `genomes.tsv` and the `<category>.fna.gz` files of `folder`; keep the records of `split`."""
        #: label → category → group → sequences
        self._tree: dict[str, dict[str, dict[str, list[bytes]]]] = defaultdict(lambda: defaultdict(dict))
        for record, row in read_split(folder, split):
            groups = self._tree[row["label"]][row["category"]]
            groups.setdefault(row["group"], []).append(record.sequence)

    def sequences(self) -> Iterable[bytes]:
        """All sequences of the split."""
        for categories in self._tree.values():
            for groups in categories.values():
                for members in groups.values():
                    yield from members

    def draw(self, lengths: npt.ArrayLike, seed: int) -> Pieces:
        """Draw two pieces, one of a virus and one of a host, of each of the `lengths` (bp).

        Each category of a class is as likely as the others, so is each group of a category; within a group every base
        is. Pieces with anything but A, C, G, T are drawn again: hosts are masked where they resemble a virus.
        """
        chance = np.random.default_rng(seed)
        pieces, labels = [], []
        for length in np.asarray(lengths).tolist():
            for label in ("virus", "host"):
                pieces.append(self.draw_one(label, length, chance))
                labels.append(label == "virus")
        return Pieces(SequenceArray.from_list(pieces), np.array(labels))

    def draw_one(self, label: str, length: int, chance: np.random.Generator) -> bytes:
        """Draw a piece of a virus or of a host, as `draw` does."""
        categories = list(self._tree[label].values())
        while True:
            groups = list(categories[chance.integers(len(categories))].values())
            members = groups[chance.integers(len(groups))]
            places = np.cumsum([max(len(sequence) - length + 1, 0) for sequence in members])
            if not places[-1]:
                continue
            place = chance.integers(places[-1])
            index = int(np.searchsorted(places, place, side="right"))
            start = int(place - (places[index - 1] if index else 0))
            piece = members[index][start : start + length]
            if not piece.translate(None, _UNAMBIGUOUS):
                return piece
