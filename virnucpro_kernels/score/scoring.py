"""From frames to windows, from windows to contigs: the scores, the original's decision, the tier and the call."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from virnucpro_kernels.score.logistic import DECIMALS, sigmoid
from virnucpro_kernels.score.rule import Rule
from virnucpro_kernels.score.sample_reader import ContigBatch
from virnucpro_kernels.sequences.arrays import Bools, Float64s, Int64s

TIERS = ("low", "medium", "high")
CALLS = ("none", "host", "viral")


@dataclass(frozen=True, eq=False)
class WindowScores:
    """Scores of w windows; only those with a frame are scored.

    Attributes:
        scored: Whether the window has a frame, bool (w,).
        logit: Mean of the highest and the lowest frame logit, or the sum of all, float64 (w,); NaN where not scored.
        log_odds: Logit as the calibration of the model has it, float64 (w,).
        p_virus: Sigmoid of the log-odds, float64 (w,).
        margin: Highest score2 minus highest score1 of the original, float64 (w,); NaN where not scored.
        is_virus: Decision, bool (w,): of the original, margin >= 0; where logits are added, log-odds >= 0.
        best_frame: Frame of the highest logit, 0 to 5, the first of equal ones, int64 (w,); -1 where not scored.
        highest: Highest score1 and highest score2, float32 (w, 2); NaN where not scored.
    """

    scored: Bools
    logit: Float64s
    log_odds: Float64s
    p_virus: Float64s
    margin: Float64s
    is_virus: Bools
    best_frame: Int64s
    highest: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What decides the calls of m contigs, or of m pairs of reads: sums over their windows.

    Attributes:
        windows, scored_windows: Number of windows, and of those with a score, int64 (m,).
        length: Number of bases, int64 (m,).
        bases: Number of bases in scored windows, int64 (m,); those of two windows count once.
        weight: Sum of the lengths of the scored windows, float64 (m,).
        logit: Sum of their logits, each times its length, float64 (m,).
    """

    windows: Int64s
    scored_windows: Int64s
    length: Int64s
    bases: Int64s
    weight: Float64s
    logit: Float64s

    def __add__(self, other: Self) -> Self:
        """Return the evidence of pairs."""
        return type(self)(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def __getitem__(self, which: slice | Int64s) -> Self:
        """Return some of the contigs."""
        return type(self)(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the evidence of several batches."""
        nothing = [np.empty(0, np.int64)]
        return cls(
            *(np.concatenate([getattr(part, name) for part in parts] or nothing) for name in cls.__dataclass_fields__)
        )

    def compact(self) -> Self:
        """Return the same in 32 bytes a contig."""
        types = (np.int32, np.int32, np.int32, np.int32, np.float64, np.float64)
        values = (getattr(self, name) for name in self.__dataclass_fields__)
        return type(self)(*(value.astype(kind) for value, kind in zip(values, types, strict=True)))

    @property
    def covered_fraction(self) -> Float64s:
        """Fraction of the bases that are in scored windows, float64 (m,); NaN without bases."""
        with np.errstate(invalid="ignore"):
            return np.round(self.bases / self.length, DECIMALS)

    def log_odds(self, rule: Rule) -> Float64s:
        """Return the mean logit as the calibration has it, float64 (m,); NaN without a scored window."""
        with np.errstate(invalid="ignore"):
            return rule.log_odds(self.logit / self.weight, self.bases)

    def enough(self, rule: Rule) -> Bools:
        """Return which contigs have enough evidence for a call, bool (m,)."""
        thresholds = rule.thresholds
        enough: Bools = (
            (self.scored_windows >= np.maximum(1, np.minimum(thresholds.min_scored_windows, self.windows)))
            & (self.bases >= thresholds.min_window_fraction * rule.window_length)
            & (self.covered_fraction >= thresholds.min_covered_fraction)
        )
        return enough

    def call(self, rule: Rule) -> Int64s:
        """Return an index into `CALLS` for each contig, int64 (m,)."""
        enough = self.enough(rule)
        viral = enough & rule.is_viral(self.log_odds(rule))
        return np.where(viral, CALLS.index("viral"), np.where(enough, CALLS.index("host"), CALLS.index("none")))


@dataclass(frozen=True, eq=False)
class ContigScores:
    """Scores of m contigs.

    Attributes:
        evidence: What decides their calls.
        scored_windows: Number of scored windows, int64 (m,).
        covered_fraction: Fraction of the contig's bases in scored windows, float64 (m,); NaN for an empty contig. Bases
            of two windows count once.
        window_calls: Numbers of scored windows that are host, ambiguous and viral, int64 (m, 3).
        p_virus: Sigmoid of the log-odds, those of the mean logit of the scored windows, weighted with their lengths,
            float64 (m,); NaN where there are none. Windows overlap, so a base of two windows counts in both.
        q_value: Least false discovery rate at which the contig is called viral, float64 (m,); NaN where the rule
            controls none, or there is too little evidence.
        call: Index into `CALLS`, int64 (m,): `none` where there is no score or too little evidence.
        tier: Index into `TIERS`, int64 (m,); -1 where not viral.
        best_window: Number, from 1, of the first window of the highest p_virus, int64 (m,); 0 where there is none.
    """

    evidence: Evidence
    scored_windows: Int64s
    covered_fraction: Float64s
    window_calls: Int64s
    p_virus: Float64s
    q_value: Float64s
    call: Int64s
    tier: Int64s
    best_window: Int64s


def is_virus_frame(batch: ContigBatch) -> Bools:
    """Return the original's label of each frame, bool (f,): a tie is not a virus."""
    virus: Bools = batch.scores[:, 1] > batch.scores[:, 0]
    return virus


def score_windows(batch: ContigBatch, rule: Rule) -> WindowScores:
    """Score the windows of a batch from its frames, by the original's rule or as the sum of the frames' logits."""
    counts = batch.frame_counts
    scored = counts > 0
    first = (np.cumsum(counts) - counts)[scored]
    highest_logit = np.maximum.reduceat(batch.logit, first)
    if rule.adds_frames:
        logit = np.add.reduceat(batch.logit.astype(np.float64), first)
    else:
        logit = (highest_logit.astype(np.float64) + np.minimum.reduceat(batch.logit, first)) / 2
    log_odds = rule.log_odds(logit, (batch.end - batch.start)[scored])
    highest = np.maximum.reduceat(batch.scores, first)

    owner = np.repeat(np.arange(len(first)), counts[scored])
    at_best = np.flatnonzero(batch.logit == highest_logit[owner])
    _, first_at_best = np.unique(owner[at_best], return_index=True)

    def spread(values: npt.NDArray[Any], missing: float) -> npt.NDArray[Any]:
        """Return an array of all windows from that of the scored ones."""
        found = np.full((len(scored), *values.shape[1:]), missing, values.dtype)
        found[scored] = values
        return found

    return WindowScores(
        scored=scored,
        logit=spread(logit, np.nan),
        log_odds=spread(log_odds, np.nan),
        p_virus=spread(sigmoid(log_odds), np.nan),
        margin=spread(np.round(highest[:, 1].astype(np.float64) - highest[:, 0], DECIMALS), np.nan),
        is_virus=spread(log_odds >= 0 if rule.adds_frames else highest[:, 1] >= highest[:, 0], False),
        best_frame=spread(batch.frame[at_best[first_at_best]], -1),
        highest=spread(highest, np.nan),
    )


def score_contigs(batch: ContigBatch, windows: WindowScores, rule: Rule) -> ContigScores:
    """Score the contigs of a batch from its windows."""
    m, scored = len(batch), windows.scored
    contig = batch.window_contig[scored]
    start, end = batch.start[scored], batch.end[scored]
    logit, p = windows.logit[scored], windows.p_virus[scored]
    count = np.bincount(contig, minlength=m)

    def total(values: Float64s | Int64s) -> Float64s:
        return np.bincount(contig, weights=values, minlength=m).astype(np.float64, copy=False)

    # Windows are sorted by start and end, so a window overlaps no counted bases but those of the one before.
    before = np.where(np.diff(contig, prepend=-1) == 0, np.roll(end, 1), 0)
    evidence = Evidence(
        windows=batch.windows,
        scored_windows=count,
        length=batch.length,
        bases=total(end - np.maximum(start, before)).astype(np.int64),
        weight=total(end - start),
        logit=total(logit * (end - start)),
    )
    log_odds, call, thresholds = evidence.log_odds(rule), evidence.call(rule), rule.thresholds
    p_virus = sigmoid(log_odds)

    low, high = thresholds.ambiguous_band
    window_call = (p >= low).astype(np.int64) + (p >= high)  # 0 host, 1 ambiguous, 2 viral
    viral = call == CALLS.index("viral")
    best = np.full(m, -1.0)
    np.maximum.at(best, contig, p)
    at_best = np.flatnonzero(p == best[contig])
    owners, first_at_best = np.unique(contig[at_best], return_index=True)
    best_window = np.zeros(m, np.int64)
    best_window[owners] = batch.window_number[scored][at_best[first_at_best]]
    return ContigScores(
        evidence=evidence,
        scored_windows=count,
        covered_fraction=evidence.covered_fraction,
        window_calls=np.bincount(3 * contig + window_call, minlength=3 * m).reshape(m, 3),
        p_virus=p_virus,
        q_value=np.where(call == CALLS.index("none"), np.nan, rule.q_values(log_odds)),
        call=call,
        tier=np.where(
            viral, (p_virus >= thresholds.tier_medium).astype(np.int64) + (p_virus >= thresholds.tier_high), -1
        ),
        best_window=best_window,
    )
