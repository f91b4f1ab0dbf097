"""Probabilities from log-odds."""

import numpy as np
import numpy.typing as npt

from virnucpro_kernels.sequences.arrays import Float64s

#: Decimal places of probabilities. They are rounded to what the tables print before anything is decided on them, so
#: that a reader of the tables comes to the same calls.
DECIMALS = 6


def logistic(log_odds: npt.ArrayLike) -> Float64s:
    """Return 1 / (1 + exp(-log_odds)) in float64, without overflow."""
    values = np.asarray(log_odds, np.float64)
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1.0, small) / (1.0 + small)


def sigmoid(log_odds: npt.ArrayLike) -> Float64s:
    """Return the same, rounded to `DECIMALS`."""
    return np.round(logistic(log_odds), DECIMALS)


def log_odds_of(p: float) -> float:
    """Return log(p / (1 - p)) of a probability between 0 and 1."""
    return float(np.log(p) - np.log1p(-p))
