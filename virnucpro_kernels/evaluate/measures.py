"""Measures of scores and calls against the truth, each for the contigs as they are and for all draws of groups."""

from dataclasses import dataclass

import numpy as np

from virnucpro_kernels.evaluate.bootstrap import Draws
from virnucpro_kernels.sequences.arrays import Bools, Float64s, Int64s, Uint8s

#: Measures of scores alone, and of calls.
RANKING = ("auroc", "average_precision", "recall_at_1_percent_fpr", "recall_at_5_percent_fpr")
CALLING = ("recall", "false_positive_rate", "precision", "f1", "mcc")
_FALSE_POSITIVE_RATES = {"recall_at_1_percent_fpr": 0.01, "recall_at_5_percent_fpr": 0.05}


@dataclass(frozen=True, eq=False)
class Rows:
    """m contigs, windows or frames, each with its truth, score and call.

    Attributes:
        unit: Unit of `Draws` of each row, int64 (m,).
        is_virus: Whether each is viral by the truth, bool (m,).
        score: The higher, the more likely viral, float64 (m,); NaN without a call.
        called: Whether each is called viral, bool (m,).
    """

    unit: Int64s
    is_virus: Bools
    score: Float64s
    called: Bools

    def __len__(self) -> int:
        return len(self.unit)

    def pick(self, which: Bools) -> "Rows":
        """Return the rows that `which` marks, bool (m,)."""
        return Rows(self.unit[which], self.is_virus[which], self.score[which], self.called[which])


@dataclass(frozen=True, eq=False)
class _Curve:
    """Rows in falling order of the score, those that no measure tells apart as one.

    Blocks are numbered in falling order. A block holds the rows of one score, or those of several neighbouring scores
    that no viral row has. Each class has `block`, `unit` and `count`, the number of rows of both, int64.
    """

    blocks: int
    virus: tuple[Int64s, Int64s, Int64s]
    host: tuple[Int64s, Int64s, Int64s]

    @classmethod
    def of(cls, rows: Rows) -> "_Curve":
        score = np.where(np.isnan(rows.score), -np.inf, rows.score)
        values, rank = np.unique(-score, return_inverse=True)
        with_virus = np.bincount(rank, rows.is_virus, len(values)) > 0
        first = with_virus.copy()
        first[1:] |= with_virus[:-1]
        first[:1] = True
        block = (np.cumsum(first) - 1)[rank]
        virus, host = (_counted(block, rows.unit, of_class) for of_class in (rows.is_virus, ~rows.is_virus))
        return cls(int(first.sum()), virus, host)


def _counted(block: Int64s, unit: Int64s, of_class: Bools) -> tuple[Int64s, Int64s, Int64s]:
    units = int(unit.max(initial=0)) + 1
    keys, count = np.unique(block[of_class] * units + unit[of_class], return_counts=True)
    return keys // units, keys % units, count


def ranking(rows: Rows, draws: Draws) -> dict[str, Float64s]:
    """Return the measures of `RANKING`, float64 (1 + draws,) each; NaN where one of the classes is missing.

    Rows without a score are behind all others, and equal to each other. AUROC is the probability that a viral row has a
    higher score than another, ties counted half. Average precision is the sum over the scores of the precision there
    times the rise of the recall (without interpolation). The recall at a false positive rate is the highest at any
    threshold that keeps it.
    """
    curve = _Curve.of(rows)
    parts: list[dict[str, Float64s]] = []
    width = max(len(curve.virus[0]), len(curve.host[0]), curve.blocks)
    for weights in draws.blocks(width):
        virus, host = (_cumulated(weights, *of_class, curve.blocks) for of_class in (curve.virus, curve.host))
        parts.append(_rank_measures(virus, host))
    return {name: np.concatenate([part[name] for part in parts]) for name in RANKING}


def _cumulated(weights: Uint8s, block: Int64s, unit: Int64s, count: Int64s, blocks: int) -> Float64s:
    """Return how many rows of a class have the score of each block or a higher one, float64 (draws, 1 + blocks)."""
    found = np.zeros((len(weights), len(block) + 1))
    np.cumsum(weights[:, unit] * count, axis=1, out=found[:, 1:])
    ends: Float64s = found[:, np.searchsorted(block, np.arange(-1, blocks), "right")]
    return ends


def _rank_measures(virus: Float64s, host: Float64s) -> dict[str, Float64s]:
    """Return the measures from the cumulated numbers of both classes, each (draws, 1 + blocks)."""
    rise, positives, negatives = np.diff(virus, axis=1), virus[:, -1], host[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        behind = negatives[:, None] - (host[:, 1:] + host[:, :-1]) / 2
        called = virus[:, 1:] + host[:, 1:]
        precision = np.divide(virus[:, 1:], called, out=np.zeros_like(called), where=called > 0)
        measures = {
            "auroc": np.einsum("ij,ij->i", rise, behind) / (positives * negatives),
            "average_precision": np.einsum("ij,ij->i", rise, precision) / positives,
        }
        for name, rate in _FALSE_POSITIVE_RATES.items():
            place = (host <= rate * negatives[:, None]).sum(axis=1) - 1
            measures[name] = np.take_along_axis(virus, place[:, None], 1)[:, 0] / positives
    undefined = (positives == 0) | (negatives == 0)
    return {name: np.where(undefined, np.nan, value) for name, value in measures.items()}


def calling(rows: Rows, draws: Draws) -> dict[str, Float64s]:
    """Return the measures of `CALLING`, float64 (1 + draws,) each; NaN where one has nothing to divide by."""
    true, false, positives, negatives = draws.sums(
        rows.unit, rows.called & rows.is_virus, rows.called & ~rows.is_virus, rows.is_virus, ~rows.is_virus
    )
    missed, spared = positives - true, negatives - false
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt((true + false) * positives * negatives * (missed + spared))
        return {
            "recall": true / positives,
            "false_positive_rate": false / negatives,
            "precision": true / (true + false),
            "f1": 2 * true / (2 * true + false + missed),
            "mcc": (true * spared - false * missed) / root,
        }


def curve_points(rows: Rows, most: int) -> tuple[Float64s, Float64s, Float64s]:
    """Return false positive rate, recall and precision at up to `most` thresholds, float64 (k,) each."""
    curve = _Curve.of(rows)
    once = np.ones((1, int(rows.unit.max(initial=0)) + 1), np.uint8)
    virus, host = (_cumulated(once, *of_class, curve.blocks)[0] for of_class in (curve.virus, curve.host))
    # Evenly along the curve, not along the scores: by the way that both rates have gone.
    gone = virus / virus[-1] + host / host[-1]
    steps = np.unique(np.searchsorted(gone, np.linspace(0, 2, most)).clip(0, len(gone) - 1))
    virus, host = virus[steps], host[steps]
    called = virus + host
    precision = np.divide(virus, called, out=np.ones_like(called), where=called > 0)
    return host / host[-1], virus / virus[-1], precision
