"""False discovery rates of a sample, from its own calibrated log-odds.

A calibration is right for one share of viral sequences. The share of a sample is estimated from all of its log-odds by
expectation maximisation (Saerens, Latinne and Decaestecker 2002, Neural Computation 14:21, eq. 2.7 to 2.9), and each
probability of virus is that of the sample's share. Among the sequences of at least some log-odds, the expected share of
false ones is the mean of 1 - p: the q-value of the last of them. This assumes that the calibration holds for the
sample: that its viruses and hosts are as hard to tell apart as those that the calibration was fitted on.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from virnucpro_kernels.score.logistic import DECIMALS, log_odds_of, logistic
from virnucpro_kernels.sequences.arrays import Bools, Float64s

_ROUNDS, _SETTLED = 1000, 1e-9


@dataclass(frozen=True, eq=False)
class Discoveries:
    """Sequences of a sample with the false discovery rate of all that score as high.

    Attributes:
        fdr: False discovery rate up to which sequences are viral.
        viral_share: Estimated share of viral sequences.
        log_odds: Different log-odds, ascending, float64 (k,).
        rates: False discovery rate among the sequences of at least these log-odds, float64 (k,), descending.
    """

    fdr: float
    viral_share: float
    log_odds: Float64s
    rates: Float64s

    @classmethod
    def of(cls, log_odds: Float64s, prior: float, fdr: float) -> Self:
        """Return the discoveries among sequences of these log-odds, which are right for the share `prior` of viruses.

        Args:
            log_odds: Log-odds of each sequence, finite, float64 (n,).
            prior: Share of viral sequences, between 0 and 1.
            fdr: False discovery rate, from 0 to 1.
        """
        log_odds = np.sort(log_odds)
        evidence = log_odds - log_odds_of(prior)
        share = _estimate_share(evidence, prior)
        rates = false_discovery_rates(log_odds, logistic(-(evidence + log_odds_of(share))))
        values, first = np.unique(log_odds, return_index=True)
        return cls(fdr, share, values, rates[first])

    def q_values(self, log_odds: Float64s) -> Float64s:
        """Return the false discovery rate among the sequences that score as high as each, float64 (n,)."""
        place = np.searchsorted(self.log_odds, log_odds, side="right") - 1
        rates = np.append(self.rates, 1.0)  # below all: place -1
        found = np.round(rates[np.minimum(place, len(self.rates))], DECIMALS)  # as the table has them
        return np.where(np.isnan(log_odds), np.nan, found)

    def chosen(self, log_odds: Float64s) -> Bools:
        """Return which sequences are viral at the rate asked for, bool (n,)."""
        viral: Bools = self.q_values(log_odds) <= self.fdr
        return viral


def false_discovery_rates(score: Float64s, false: Float64s, weight: Float64s | None = None) -> Float64s:
    """Return the false discovery rate of calling each sequence and all with its score or a higher one, float64 (n,).

    It is the weighted mean of `false` over these: what is expected if the probabilities are right.

    Args:
        score: Score of each sequence, finite, float64 (n,).
        false: Probability of each that it is no virus, float64 (n,).
        weight: How much each counts, float64 (n,); the same for all without it.
    """
    weight = np.ones(len(score)) if weight is None else weight
    _, rank = np.unique(-score, return_inverse=True)
    rates: Float64s = np.cumsum(np.bincount(rank, weight * false)) / np.cumsum(np.bincount(rank, weight))
    return rates[rank]


def _estimate_share(evidence: Float64s, prior: float) -> float:
    """Return the share of viruses that makes log-likelihood ratios, float64 (n,), most likely."""
    share = prior
    for _ in range(_ROUNDS if len(evidence) else 0):
        before, share = share, float(np.clip(logistic(evidence + log_odds_of(share)).mean(), 1e-6, 1 - 1e-6))
        if abs(share - before) < _SETTLED:
            break
    return share
