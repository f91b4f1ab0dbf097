"""Parts of the truth that are measured by themselves: categories, families, domains, lengths."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from virnucpro_kernels.evaluate.measures import CALLING, RANKING
from virnucpro_kernels.evaluate.results import Level
from virnucpro_kernels.evaluate.truth import Truth
from virnucpro_kernels.sequences.arrays import Bools

#: Borders of the classes of length in bp; each begins with its first border and ends before the next.
EDGES = (0, 150, 300, 500, 1000, 2000, 3000, 5000, 10_000, 20_001)

_OF_VIRUSES = (*RANKING[:1], *RANKING[2:], "recall")
_OF_HOSTS = (*RANKING[:1], *RANKING[2:], "false_positive_rate")
_OF_CONTROLS = ("false_positive_rate",)


@dataclass(frozen=True, eq=False)
class Subset:
    """Rows of a level that are measured together.

    Attributes:
        kind: `all`, `domain`, `category`, `family`, `length` or `unrelated`.
        name: Which one of this kind; "" where there is one only.
        rows: Which rows of the level, bool (m,).
        measures: Names of the measures that say something of it.
    """

    kind: str
    name: str
    rows: Bools
    measures: tuple[str, ...] = (*RANKING, *CALLING)

    @property
    def title(self) -> str:
        """Kind and name, as in `category:phage`."""
        return f"{self.kind}:{self.name}" if self.name else self.kind


def subsets_of(level: Level, truth: Truth, related: Bools | None) -> Iterator[Subset]:
    """Yield the subsets of a level that have rows.

    A category or family of viruses is measured against all hosts, a category of hosts against all viruses; in a domain,
    a class of length, and a category that has both, its viruses are measured against its hosts.

    Args:
        level: Rows.
        truth: What they are.
        related: Which contigs of the truth share much with the training genomes, bool (n,); None where it is not known.
    """
    is_virus, is_host = truth.is_virus[level.contig], truth.is_host[level.contig]
    either = is_virus | is_host
    yield Subset("all", "", either)
    if related is not None and related.any():
        yield Subset("unrelated", "", either & ~related[level.contig])
    for domain in _names(truth, "domain"):
        yield Subset("domain", domain, either & (truth.texts["domain"] == domain)[level.contig])
    for category in _names(truth, "category"):
        own = (truth.texts["category"] == category)[level.contig]
        viruses, hosts = (own & is_virus).any(), (own & is_host).any()
        if viruses and hosts:
            yield Subset("category", category, own & either)
        elif viruses:
            yield Subset("category", category, own | is_host, _OF_VIRUSES)
        elif hosts:
            yield Subset("category", category, own & is_host | is_virus, _OF_HOSTS)
        elif own.any():
            yield Subset("category", category, own, _OF_CONTROLS)
    for family in _names(truth, "family"):
        own = (truth.texts["family"] == family)[level.contig] & is_virus
        if own.any():
            yield Subset("family", family, own | is_host, _OF_VIRUSES)
    yield from _by_length(level, either)


def _by_length(level: Level, either: Bools) -> Iterator[Subset]:
    for shortest, end in pairwise((*EDGES, np.inf)):
        rows = either & (level.length >= shortest) & (level.length < end)
        if rows.any():
            name = f"{shortest}-{end - 1}" if end < np.inf else f"{shortest}-"
            yield Subset("length", name, rows)


def _names(truth: Truth, column: str) -> list[str]:
    return sorted(set(truth.texts[column].tolist()) - {""})
