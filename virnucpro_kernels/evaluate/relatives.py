"""Which contigs of the truth share much with the genomes of a training: their figures would flatter the model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.evaluate.kmers import canonical_kmers, joined_blocks
from virnucpro_kernels.evaluate.truth import Truth
from virnucpro_kernels.sequences.arrays import Bools, Float64s, Uint8s
from virnucpro_kernels.sequences.records import read_records
from virnucpro_kernels.train.genomes import TABLE, read_split

#: Fraction of its k-mers from which on a contig is related to the training.
RELATED = 0.2
#: Bases that are compared at once: of the truth, for each of which the training genomes are read once, and of those.
#: Memory is some 80 bytes for each of the first, and as much for each of the second or of the longest genome.
_TRUTH_BASES, _GENOME_BASES = 1 << 24, 1 << 22
_BEHIND_ALL = np.iinfo(np.uint64).max


@dataclass(frozen=True, eq=False)
class Relatives:
    """What the contigs of the truth share with the training genomes.

    Attributes:
        shared: Fraction of the k-mers of each contig that the training genomes have, float64 (n,); NaN where its
            sequence is not known or has no k-mer.
    """

    shared: Float64s

    @property
    def related(self) -> Bools:
        """Which contigs share at least `RELATED`, bool (n,)."""
        related: Bools = np.nan_to_num(self.shared) >= RELATED
        return related

    @property
    def unknown(self) -> int:
        """Number of contigs of which nothing is known."""
        return int(np.isnan(self.shared).sum())


def find_relatives(truth: Truth, sequences: Sequence[Path], genomes: Sequence[Path]) -> Relatives:
    """Compare the contigs of the truth with training genomes by canonical k-mers, K bases long.

    Args:
        truth: Contigs.
        sequences: Files with their sequences.
        genomes: Training genomes: sequence files, or folders with a `genomes.tsv`, whose split `train` is taken.

    Raises:
        UsageError: none of the sequences is of a contig of the truth, or a folder has no `genomes.tsv`.
        InputError: a file is no sequence file, or is damaged.
    """
    shared = np.full(len(truth), np.nan)
    wanted = _Wanted(truth)
    for starts, joined in joined_blocks(wanted.sequences(sequences), _TRUTH_BASES):
        contigs = wanted.take(len(starts) - 1)
        shared[contigs] = _shared(starts, joined, genomes)
    if not wanted.found:
        raise UsageError(f"{', '.join(map(str, sequences))}: no sequence of a contig of {truth.path}")
    return Relatives(shared)


class _Wanted:
    """The sequences of the truth, with the numbers of their contigs in the order in which they came."""

    def __init__(self, truth: Truth) -> None:
        self._number = {name: number for number, name in enumerate(truth.contigs)}
        self._order: list[int] = []
        self.found = 0

    def sequences(self, paths: Sequence[Path]) -> Iterator[bytes]:
        for path in paths:
            for record in read_records(path):
                if (number := self._number.get(record.contig)) is not None:
                    self._order.append(number)
                    self.found += 1
                    yield record.sequence

    def take(self, count: int) -> list[int]:
        taken, self._order = self._order[:count], self._order[count:]
        return taken


def _shared(starts: list[int], joined: Uint8s, genomes: Sequence[Path]) -> Float64s:
    """Return the fraction of the k-mers of each sequence that the genomes have, float64 (n,)."""
    kmers, counts = canonical_kmers(joined)
    known = np.append(np.unique(kmers[counts]), _BEHIND_ALL)
    seen = np.zeros(len(known), np.bool_)
    for _, block in joined_blocks(_genomes(genomes), _GENOME_BASES):
        found, valid = canonical_kmers(block)
        found = np.sort(found[valid])
        place = np.searchsorted(known, found)
        seen[place[known[place] == found]] = True
    shared = np.empty(len(kmers), np.bool_)
    for first in range(0, len(kmers), _GENOME_BASES):
        own = kmers[first : first + _GENOME_BASES]
        order = np.argsort(own)  # neighbours are then found near to each other, which is much faster
        shared[first + order] = seen[np.searchsorted(known, own[order])]
    ends = np.minimum(starts, len(kmers))
    total, common = (np.concatenate([[0], np.cumsum(of)])[ends] for of in (counts, shared & counts))
    with np.errstate(invalid="ignore"):
        fractions: Float64s = np.diff(common) / np.diff(total)
    return fractions


def _genomes(paths: Sequence[Path]) -> Iterator[bytes]:
    for path in paths:
        if not path.is_dir():
            yield from (record.sequence for record in read_records(path))
        elif (path / TABLE).is_file():
            yield from (record.sequence for _, record in read_split(path / TABLE, "train"))
        else:
            raise UsageError(f"{path}: there is no {TABLE} in this folder; name the sequence files in it")
