"""How logits become probabilities and calls: the model's own rule and calibration, and the thresholds of the user."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from virnucpro_kernels.score.discoveries import Discoveries
from virnucpro_kernels.score.logistic import log_odds_of, sigmoid
from virnucpro_kernels.score.thresholds import Thresholds
from virnucpro_kernels.sequences.arrays import Bools, Float64s
from virnucpro_kernels.weights.registry import Calibration, Model


def doublings_and_halvings(windows: Float64s) -> tuple[Float64s, Float64s]:
    """Return how often a window has to be doubled, and halved, to be as long, float64 (n,) each, of window lengths."""
    with np.errstate(divide="ignore", invalid="ignore"):
        x = np.log2(windows)
    return np.maximum(x, 0.0), np.maximum(-x, 0.0)


def intercept_and_slope(calibration: Calibration, windows: Float64s) -> tuple[Float64s, Float64s]:
    """Return a and b of `Calibration`, float64 (n,) each, for scored bases in window lengths, float64 (n,)."""
    doublings, halvings = doublings_and_halvings(windows)
    with np.errstate(invalid="ignore"):
        return (
            calibration.intercept
            + calibration.intercept_per_doubling * doublings
            + calibration.intercept_per_halving * halvings,
            calibration.slope + calibration.slope_per_doubling * doublings + calibration.slope_per_halving * halvings,
        )


@dataclass(frozen=True, eq=False)
class Rule:
    """All that decides calls from the logits of frames.

    Attributes:
        window_length: Window length of the model in bp.
        adds_frames: Whether the logit of a window is the sum of those of its frames; else it is the original's mean.
        calibration: Calibration of the model; without one, log-odds are the logits themselves.
        thresholds: Thresholds and evidence of the calls.
        discoveries: Contigs of the sample by their false discovery rate, where that decides instead of a threshold.
    """

    window_length: int
    adds_frames: bool
    calibration: Calibration | None
    thresholds: Thresholds
    discoveries: Discoveries | None = None

    @classmethod
    def of(cls, model: Model, thresholds: Thresholds) -> Self:
        """Return the rule of a model."""
        return cls(model.window_length, model.adds_frames, model.calibration, thresholds)

    def log_odds(self, logit: Float64s, bases: npt.ArrayLike) -> Float64s:
        """Return the log-odds of virus, float64 (n,), from mean logits and the numbers of scored bases."""
        calibration = self.calibration
        if calibration is None:
            return logit
        intercept, slope = intercept_and_slope(calibration, np.asarray(bases, np.float64) / self.window_length)
        # Far from the lengths of the calibration the slope may change its sign, and hosts would look viral.
        found: Float64s = intercept + np.maximum(slope, 0.0) * logit
        return found

    @property
    def prior(self) -> float:
        """Log-odds of virus before any evidence: those of the calibration's share of viral sequences, or 0."""
        return log_odds_of(self.calibration.prior) if self.calibration else 0.0

    def is_viral(self, log_odds: Float64s) -> Bools:
        """Return which sequences of these log-odds are viral, bool (n,), if there is enough evidence."""
        if self.discoveries is not None:
            return self.discoveries.chosen(log_odds)
        viral: Bools = sigmoid(log_odds) >= self.thresholds.viral_threshold
        return viral

    def q_values(self, log_odds: Float64s) -> Float64s:
        """Return the false discovery rate of each, float64 (n,); NaN where none is controlled."""
        return np.full(len(log_odds), np.nan) if self.discoveries is None else self.discoveries.q_values(log_odds)
