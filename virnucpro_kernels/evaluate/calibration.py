"""Whether scores are probabilities: reliability, expected calibration error, and what a false discovery rate holds."""

from dataclasses import dataclass

import numpy as np

from virnucpro_kernels.evaluate.bootstrap import Draws
from virnucpro_kernels.evaluate.measures import Rows
from virnucpro_kernels.sequences.arrays import Bools, Float64s, Int64s

#: Bins of the probability, of equal width from 0 to 1.
BINS = 10
#: Nominal false discovery rates.
NOMINAL = (0.01, 0.05, 0.1, 0.2)


@dataclass(frozen=True, eq=False)
class Reliability:
    """Rows by bin of their probability.

    Attributes:
        number, viral: Number of rows of each bin, and of the viral ones, int64 (BINS,).
        mean: Mean probability of each bin in all draws, float64 (1 + draws, BINS).
        fraction: Fraction that is viral, float64 (1 + draws, BINS).
        error: Expected calibration error, the mean over all rows of the difference of both, float64 (1 + draws,).
    """

    number: Int64s
    viral: Int64s
    mean: Float64s
    fraction: Float64s
    error: Float64s


def are_probabilities(score: Float64s) -> bool:
    """Whether there are scores and all lie between 0 and 1."""
    known = score[~np.isnan(score)]
    return bool(len(known) and known.min() >= 0 and known.max() <= 1)


def weights(is_virus: Bools, share: float | None) -> Float64s:
    """Return how much each row counts, float64 (m,), so that a share of all is viral; None for that of the rows."""
    if share is None or is_virus.all() or not is_virus.any():
        return np.ones(len(is_virus))
    viral = float(is_virus.mean())
    weight: Float64s = np.where(is_virus, share / viral, (1 - share) / (1 - viral))
    return weight


def reliability(rows: Rows, weight: Float64s, draws: Draws) -> Reliability:
    """Return how far the probabilities of scored rows are what they say (Naeini et al., AAAI 2015)."""
    place = np.minimum((rows.score * BINS).astype(np.int64), BINS - 1)
    bins = [(place == number) * weight for number in range(BINS)]
    of_bins = [one for which in bins for one in (which, which * rows.score, which * rows.is_virus)]
    sums = np.stack(draws.sums(rows.unit, *of_bins), axis=1).reshape(-1, BINS, 3)
    total, score, viral = sums[..., 0], sums[..., 1], sums[..., 2]
    number, number_viral = (np.bincount(some, minlength=BINS) for some in (place, place[rows.is_virus]))
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.abs(score - viral).sum(axis=1) / total.sum(axis=1)
        return Reliability(number, number_viral, score / total, viral / total, error)


def realised(rows: Rows, chosen: Bools, weight: Float64s, draws: Draws) -> tuple[Float64s, Float64s]:
    """Return the fraction of the chosen rows that is not viral, and of the viral rows that is chosen.

    Args:
        rows: Rows with their truth.
        chosen: Which are chosen, bool (m,). All draws have the same choice.
        weight: How much each counts, float64 (m,).
        draws: Draws of groups.

    Returns:
        Realised false discovery rate and recall, float64 (1 + draws,) each; NaN where nothing is chosen.
    """
    counted = (chosen, chosen & ~rows.is_virus, rows.is_virus)
    picked, wrong, viral = draws.sums(rows.unit, *(weight * which for which in counted))
    with np.errstate(invalid="ignore", divide="ignore"):
        return wrong / picked, (picked - wrong) / viral
