"""Rules that make one score of a contig from the logits of its windows: that in use, and what it is compared with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from virnucpro_kernels.score.logistic import sigmoid
from virnucpro_kernels.score.rule import Rule
from virnucpro_kernels.sequences.arrays import Bools, Float64s, Int64s

_FOLDS = 10


@dataclass(frozen=True, eq=False)
class WindowLogits:
    """The scored windows of contigs, in the order of contigs and starts.

    Attributes:
        contig: Index of the contig of each, int64 (w,).
        start, end: First base of each and its last plus 1, int64 (w,).
        logit: Logit of each, float64 (w,).
    """

    contig: Int64s
    start: Int64s
    end: Int64s
    logit: Float64s

    def contigs(self) -> "ContigLogits":
        """Return the contigs with a scored window."""
        names, owner = np.unique(self.contig, return_inverse=True)
        before = np.where(np.diff(owner, prepend=-1) == 0, np.roll(self.end, 1), 0)
        bases = np.bincount(owner, self.end - np.maximum(self.start, before)).astype(np.float64)
        return ContigLogits(names, owner, (self.end - self.start).astype(np.float64), self.logit, bases)


@dataclass(frozen=True, eq=False)
class ContigLogits:
    """n contigs with w scored windows.

    Attributes:
        contig: Index of each contig among all, int64 (n,).
        owner: Contig of each window, an index into these n, int64 (w,).
        length, logit: Length in bp and logit of each window, float64 (w,).
        bases: Bases of each contig in scored windows, float64 (n,); those of two windows count once.
    """

    contig: Int64s
    owner: Int64s
    length: Float64s
    logit: Float64s
    bases: Float64s

    def mean(self, values: Float64s, weight: Float64s | None = None) -> Float64s:
        """Return the mean over the windows of each contig, float64 (n,)."""
        weight = np.ones(len(values)) if weight is None else weight
        return np.bincount(self.owner, values * weight) / np.bincount(self.owner, weight)

    @property
    def first(self) -> Int64s:
        """First window of each contig, int64 (n,)."""
        return np.searchsorted(self.owner, np.arange(len(self.contig)))


def _in_use(contigs: ContigLogits, rule: Rule) -> Float64s:
    return rule.log_odds(contigs.mean(contigs.logit, contigs.length), contigs.bases)


#: Scores of contigs, the higher the likelier viral, with 0 between viral and not: the rule in use, then others.
RULES: dict[str, Callable[[ContigLogits, Rule], Float64s]] = {
    "mean logit, weighted by length, calibrated (in use)": _in_use,
    "mean logit, weighted by length": lambda contigs, _: contigs.mean(contigs.logit, contigs.length),
    "mean logit, unweighted": lambda contigs, _: contigs.mean(contigs.logit),
    "mean p_virus, weighted by length": lambda contigs, _: contigs.mean(sigmoid(contigs.logit), contigs.length) - 0.5,
    "highest logit": lambda contigs, _: np.maximum.reduceat(contigs.logit, contigs.first),
}


def _of_length(contigs: ContigLogits) -> Float64s:
    """Return mean logit, log2 of the number of windows and their product, float64 (n, 3)."""
    mean, windows = contigs.mean(contigs.logit, contigs.length), np.log2(np.bincount(contigs.owner))
    return np.stack([mean, windows, mean * windows], axis=1)


def _of_spread(contigs: ContigLogits) -> Float64s:
    """Return those features, the extremes and the spread of the logits, and the products of these with the mean."""
    of_length = _of_length(contigs)
    extremes = [of.reduceat(contigs.logit, contigs.first) for of in (np.maximum, np.minimum)]
    centred = contigs.logit - contigs.mean(contigs.logit)[contigs.owner]
    more = np.stack([*extremes, np.sqrt(contigs.mean(centred**2))], axis=1)
    return np.concatenate([of_length, more, more * of_length[:, :1]], axis=1)


#: Features of the learnt rules: what a calibration by length knows, and what the spread of the logits adds.
LEARNT: dict[str, Callable[[ContigLogits], Float64s]] = {
    "learnt: mean and number of windows": _of_length,
    "learnt: also extremes and spread": _of_spread,
}


def learn(features: Float64s, is_virus: Bools, groups: Sequence[str]) -> Float64s:
    """Return the log-odds of each contig, float64 (n,), by logistic regression on contigs of other groups.

    Args:
        features: float64 (n, d).
        is_virus: Class of each contig, bool (n,).
        groups: Relatives that each belongs to; they are learnt from or scored together.
    """
    found = np.empty(len(features))
    of_group: npt.NDArray[np.object_] = np.array(groups, object)
    folds = StratifiedGroupKFold(min(_FOLDS, len(set(groups))), shuffle=True, random_state=0)
    for known, held_out in folds.split(features, is_virus, of_group):
        model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
        model.fit(features[known], is_virus[known])
        found[held_out] = model.decision_function(features[held_out])
    return found
