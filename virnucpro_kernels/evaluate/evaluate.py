"""Results against the truth: every measure of every subset, for one or several results."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from virnucpro_kernels.evaluate.bootstrap import Draws, draw_groups, interval
from virnucpro_kernels.evaluate.calibration import (
    BINS,
    NOMINAL,
    Reliability,
    are_probabilities,
    realised,
    reliability,
    weights,
)
from virnucpro_kernels.evaluate.measures import CALLING, RANKING, Rows, calling, ranking
from virnucpro_kernels.evaluate.relatives import Relatives
from virnucpro_kernels.evaluate.results import Level, Results
from virnucpro_kernels.evaluate.subsets import Subset, subsets_of
from virnucpro_kernels.evaluate.truth import Truth
from virnucpro_kernels.score.discoveries import false_discovery_rates
from virnucpro_kernels.sequences.arrays import Bools, Float64s

#: What becomes of rows without a call: they are called host and have the lowest score, or they do not count.
AS_HOST, LEFT_OUT = "host", "left_out"

#: Whether a measure depends on the groups of viruses and on those of hosts; all others depend on both.
_DEPENDS = {"recall": (True, False), "false_positive_rate": (False, True)}
#: Kinds of subsets in which results are compared with the first.
_COMPARED = ("all", "unrelated", "domain", "category", "length")


class Key(NamedTuple):
    """What a measure is of.

    Attributes:
        results: Name of the results.
        level: `contigs`, `windows` or `frames`.
        subset: Kind and name of the subset, as in `category:phage`.
        without_call: What became of rows without a call, `AS_HOST` or `LEFT_OUT`.
        measure: Name of the measure.
    """

    results: str
    level: str
    subset: str
    without_call: str
    measure: str


@dataclass(frozen=True)
class Measured:
    """A value with the limits of its 95 % interval; NaN what is not defined.

    `n` is the number of rows that it was made from, `viral` that of the viral ones among them.
    """

    value: float
    low: float
    high: float
    n: int
    viral: int


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was found.

    Attributes:
        truth: Truth.
        results: Results, in the order in which they were given.
        measured: All measures, in the order of the table.
        reliabilities: Reliability of the scored rows by results and level, only of scores that are probabilities.
        relatives: What the truth shares with training genomes; None where they were not given.
        draws, seed: How often groups were drawn, and by which seed.
    """

    truth: Truth
    results: Sequence[Results]
    measured: dict[Key, Measured]
    reliabilities: dict[tuple[str, str], Reliability]
    relatives: Relatives | None
    draws: int
    seed: int

    def subsets(self, level: str, kind: str) -> list[str]:
        """Return the subsets of a kind that have measures, as in `category:phage`, in their order."""
        return [subset for subset in self._subsets.get(level, ()) if subset.partition(":")[0] == kind]

    @cached_property
    def _subsets(self) -> dict[str, list[str]]:
        levels = {key.level for key in self.measured}
        return {level: list(dict.fromkeys(k.subset for k in self.measured if k.level == level)) for level in levels}


def evaluate(
    truth: Truth, results: Sequence[Results], relatives: Relatives | None = None, *, draws: int, seed: int
) -> Evaluation:
    """Measure results against the truth.

    Args:
        truth: What the contigs are.
        results: One or several results of these contigs.
        relatives: What the contigs share with training genomes, if that is known: those that share much are left out
            of the subset `unrelated`.
        draws: How often groups are drawn for the intervals; 0 for none.
        seed: Decides the draws.
    """
    work = _Work(truth, draw_groups(truth, draws, seed), None if relatives is None else relatives.related)
    for one in results:
        for level in one.levels:
            work.measure_level(one, level)
    for other in results[1:]:
        work.compare(results[0].name, other.name)
    return Evaluation(truth, results, work.measured, work.reliabilities, relatives, draws, seed)


class _Work:
    """An evaluation on its way."""

    def __init__(self, truth: Truth, draws: Draws, related: Bools | None) -> None:
        self._truth, self._draws, self._related = truth, draws, related
        self.measured: dict[Key, Measured] = {}
        self.reliabilities: dict[tuple[str, str], Reliability] = {}
        self._values: dict[Key, Float64s] = {}

    def measure_level(self, results: Results, level: Level) -> None:
        """Measure all subsets of a level, and its calibration where its scores are probabilities."""
        unit, is_virus = self._draws.unit[level.contig], self._truth.is_virus[level.contig]
        rows = Rows(unit, is_virus, level.score, level.called)
        scored = ~np.isnan(level.score)
        for subset in subsets_of(level, self._truth, self._related):
            key = Key(results.name, level.name, subset.title, AS_HOST, "")
            self._measure(key, rows.pick(subset.rows), subset)
            left = subset.rows & scored
            if 0 < left.sum() < subset.rows.sum():
                self._measure(key._replace(without_call=LEFT_OUT), rows.pick(left), subset)
        either = scored & (is_virus | self._truth.is_host[level.contig])
        if are_probabilities(level.score[either]) and 0 < is_virus[either].sum() < either.sum():
            q_value = None if level.q_value is None else level.q_value[either]
            key = Key(results.name, level.name, "all", LEFT_OUT, "")
            self._calibration(key, rows.pick(either), q_value, results.share)

    def compare(self, first: str, other: str) -> None:
        """Add how much larger each measure of scores is than with the first results, drawn together."""
        for key, values in list(self._values.items()):
            before = self._values.get(key._replace(results=first))
            if key.results == other and before is not None:
                of = self.measured[key]
                name = f"{key.measure}_minus_{first}"
                self._add(key._replace(measure=name), values - before, of.n, of.viral, of.low == of.low)

    def _measure(self, key: Key, rows: Rows, subset: Subset) -> None:
        viral = int(rows.is_virus.sum())
        groups = [len(np.unique(rows.unit[which])) for which in (rows.is_virus, ~rows.is_virus)]
        found = calling(rows, self._draws)
        if 0 < viral < len(rows):
            found |= ranking(rows, self._draws)
        else:
            only = "recall" if viral else "false_positive_rate"
            found = {only: found[only]}
        for measure in (*RANKING, *CALLING):
            if measure in subset.measures and measure in found:
                depends = _DEPENDS.get(measure, (True, True))
                sure = all(number > 1 for number, needed in zip(groups, depends, strict=True) if needed)
                one = key._replace(measure=measure)
                self._add(one, found[measure], len(rows), viral, sure)
                if measure in RANKING and subset.kind in _COMPARED and key.without_call == AS_HOST:
                    self._values[one] = found[measure]

    def _calibration(self, key: Key, rows: Rows, q_value: Float64s | None, share: float | None) -> None:
        n, viral, weight = len(rows), int(rows.is_virus.sum()), weights(rows.is_virus, share)
        found = reliability(rows, weight, self._draws)
        self.reliabilities[key.results, key.level] = found
        self._add(key._replace(measure="expected_calibration_error"), found.error, n, viral)
        for number in range(BINS):
            bin_key = key._replace(subset=f"p_virus:{number / BINS:.1f}-{(number + 1) / BINS:.1f}")
            counts = int(found.number[number]), int(found.viral[number])
            if counts[0]:
                self._add(bin_key._replace(measure="mean_p_virus"), found.mean[:, number], *counts)
                self._add(bin_key._replace(measure="fraction_viral"), found.fraction[:, number], *counts)
        if q_value is not None:  # those of a run are for the share of viruses that the sample has
            weight = weights(rows.is_virus, None)
        of_rows = false_discovery_rates(rows.score, 1 - rows.score, weight) if q_value is None else q_value
        for nominal in NOMINAL:
            chosen = of_rows <= nominal
            counts = int(chosen.sum()), int((chosen & rows.is_virus).sum())
            rate, recall = realised(rows, chosen, weight, self._draws)
            self._add(key._replace(subset=f"fdr:{nominal:g}", measure="realised_fdr"), rate, *counts)
            self._add(key._replace(subset=f"fdr:{nominal:g}", measure="recall"), recall, n, viral)

    def _add(self, key: Key, values: Float64s, n: int, viral: int, sure: bool = True) -> None:
        low, high = interval(values) if sure else (np.nan, np.nan)
        self.measured[key] = Measured(float(values[0]), low, high, n, viral)
