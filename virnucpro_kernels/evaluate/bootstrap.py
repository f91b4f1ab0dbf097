"""Groups drawn anew, so that an interval says what other relatives of the same kinds might have given."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from virnucpro_kernels.evaluate.truth import Truth
from virnucpro_kernels.sequences.arrays import Float64s, Int64s, Uint8s

#: Elements that are worked on at once.
_AT_ONCE = 1 << 22
_INTERVAL = (0.025, 0.975)


@dataclass(frozen=True, eq=False)
class Draws:
    """How often each unit counts: a unit is a group of relatives, or a contig whose group is not known.

    Attributes:
        unit: Unit of each contig of the truth, int64 (n,).
        weights: How often each unit was drawn, uint8 (1 + draws, units). In the first row every unit counts once: it
            gives the value, and the others give the interval.
    """

    unit: Int64s
    weights: Uint8s

    def blocks(self, rows: int) -> Iterator[Uint8s]:
        """Yield the weights some draws at a time, uint8 (d, units), d as large as suits arrays of `rows` columns."""
        step = max(1, _AT_ONCE // max(rows, 1))
        for first in range(0, len(self.weights), step):
            yield self.weights[first : first + step]

    def sums(self, unit: Int64s, *values: npt.NDArray[np.generic]) -> list[Float64s]:
        """Return for each of some values of rows, (m,), its sum over the rows in each draw, float64 (1 + draws,).

        Args:
            unit: Unit of each row, int64 (m,).
            values: Values of the rows, (m,) each.
        """
        units, place = np.unique(unit, return_inverse=True)
        of_unit = np.stack([np.bincount(place, value.astype(np.float64), len(units)) for value in values])
        parts = [block[:, units] @ of_unit.T for block in self.blocks(len(units))]
        return list(np.concatenate(parts).T)


def draw_groups(truth: Truth, draws: int, seed: int) -> Draws:
    """Draw groups anew, with replacement, as many as there are of each category of a label.

    Categories of a label that have a single group are drawn together, as if they were one.

    Args:
        truth: Contigs with their groups; where none is known, each contig is its own.
        draws: How often the groups are drawn.
        seed: Decides the draws.
    """
    group, category = truth.texts["group"], truth.texts["category"]
    names = [
        (label, kind, relatives or f"\t{contig}")  # no group has a tab in its name
        for label, kind, relatives, contig in zip(truth.label, category, group, range(len(truth)), strict=True)
    ]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    strata: dict[tuple[int, str], list[int]] = defaultdict(list)
    for (label, kind, _), number in numbers.items():
        strata[label, kind].append(number)
    alone: dict[int, list[int]] = defaultdict(list)
    for (label, _), units in strata.items():
        if len(units) == 1:
            alone[label] += units
    weights = np.ones((1 + draws, len(numbers)), np.uint8)
    chance = np.random.default_rng(seed)
    for units in [*(units for units in strata.values() if len(units) > 1), *alone.values()]:
        for row in weights[1:]:
            row[units] = np.bincount(chance.integers(len(units), size=len(units)), minlength=len(units))
    return Draws(np.array([numbers[name] for name in names], np.int64), weights)


def interval(values: Float64s) -> tuple[float, float]:
    """Return the limits of the 95 % interval of a measure, the quantiles of its values in the draws; NaN without draws.

    Draws in which it is not defined are left out, unless they are more than half: then there is no interval.

    Args:
        values: The measure with each unit once, and in all draws, float64 (1 + draws,); NaN where it is not defined.
    """
    drawn = values[1:][~np.isnan(values[1:])]
    if len(drawn) == 0 or 2 * len(drawn) < len(values) - 1:
        return np.nan, np.nan
    low, high = np.quantile(drawn, _INTERVAL)
    return float(low), float(high)
