"""Labelled pieces of a folder of real genomes that are split by relatedness."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from virnucpro_kernels.sequences.arrays import SequenceArray
from virnucpro_kernels.train.genomes import TABLE, read_split
from virnucpro_kernels.train.pieces import SplitRecords


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


class Genomes(SplitRecords):
    """The records of one split of a folder of genomes."""

    def __init__(self, folder: Path, split: str) -> None:
        """Read `genomes.tsv` and the `<category>.fna.gz` files of `folder`; keep the records of `split`."""
        super().__init__(read_split(folder / TABLE, split))

    def draw(self, lengths: npt.ArrayLike, seed: int) -> Pieces:
        """Draw two pieces, one of a virus and one of a host, of each of the `lengths` (bp), as `draw_place` does."""
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
        """Draw a piece of a virus or of a host, as `draw_place` does."""
        place = self.draw_place(label, length, chance)
        return place.record.sequence[place.start : place.start + length]
