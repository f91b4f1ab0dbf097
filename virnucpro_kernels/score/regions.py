"""Viral regions inside contigs: the most likely places where a contig changes between virus and host.

Each window is virus or host, and a contig seldom changes between the two. The states of its windows are those that
maximise the evidence of its viral windows minus `SWITCH_COST` for each change: the Viterbi path of a hidden Markov
model with two states, in which the log-odds of a window, counted from a threshold, are the log-likelihood ratio of the
states. Where no change pays, the call of the contig decides: all of it is one region, or it has none.
"""

from dataclasses import dataclass

import numpy as np

from virnucpro_kernels.score.logistic import DECIMALS, log_odds_of, sigmoid
from virnucpro_kernels.score.rule import Rule
from virnucpro_kernels.score.sample_reader import ContigBatch
from virnucpro_kernels.score.scoring import CALLS, ContigScores, WindowScores
from virnucpro_kernels.sequences.arrays import Bools, Float64s, Int64s

#: Log-odds that a change has to be worth, and the most that one full window counts, so that a region takes several.
#: Both were chosen on contigs with known borders, see docs/output.md.
SWITCH_COST, MOST_EVIDENCE = 3.0, 2.0

#: Which ends of its contig a region reaches, by 2 * (the left one) + (the right one).
POSITIONS = ("inside", "right", "left", "whole")


@dataclass(frozen=True, eq=False)
class Regions:
    """Viral regions of a batch of contigs, in the order of the contigs and of their starts: r regions.

    Attributes:
        contig: Index of the contig in the batch, int64 (r,).
        number: Rank of the region in its contig, from 1, int64 (r,).
        start, end: Place in the contig, 0-based and half-open, int64 (r,). Regions of a contig do not overlap.
        position: Index into `POSITIONS`, int64 (r,).
        windows, scored_windows: Number of windows of the region, and of those that have a score, int64 (r,).
        p_virus: Sigmoid of the log-odds, those of the mean logit of the scored windows, weighted with their lengths,
            float64 (r,).
        tier: Index into `TIERS`, int64 (r,), by p_virus as for a viral contig.
    """

    contig: Int64s
    number: Int64s
    start: Int64s
    end: Int64s
    position: Int64s
    windows: Int64s
    scored_windows: Int64s
    p_virus: Float64s
    tier: Int64s

    def __len__(self) -> int:
        return len(self.contig)


def find_regions(batch: ContigBatch, windows: WindowScores, contigs: ContigScores, rule: Rule) -> Regions:
    """Find the viral regions of the contigs that have a call; one called viral has at least one.

    A window without a score is no evidence. A region may run over it, but ends at a scored window or at the end of the
    contig.

    Args:
        batch: Contigs with their windows.
        windows: Scores of the windows.
        contigs: Scores of the contigs.
        rule: Values of p_virus from which on a window speaks for a virus, and of tiers; window length; calibration.
    """
    return regions_of(batch, windows, _viral_windows(batch, windows, contigs, rule), rule)


def regions_of(batch: ContigBatch, windows: WindowScores, viral: Bools, rule: Rule) -> Regions:
    """Return the stretches of windows that are viral, bool (w,), each with a scored window."""
    first, last = _extents(batch, windows.scored, viral)
    left, right = batch.tiles
    contig, start, end, count = batch.window_contig[first], left[first], right[last], last + 1 - first
    region = np.repeat(np.arange(len(first)), count)
    inside = np.arange(len(region)) + np.repeat(first - np.cumsum(count) + count, count)

    def total(values: Float64s | Int64s | Bools) -> Float64s:
        return np.bincount(region, values[inside], len(first)).astype(np.float64, copy=False)

    scored = windows.scored
    weight = (batch.end - batch.start) * scored
    logit = total(np.where(scored, windows.logit, 0.0) * weight) / total(weight)
    p_virus = sigmoid(rule.log_odds(logit, np.minimum(total(weight), end - start)))
    thresholds = rule.thresholds
    return Regions(
        contig=contig,
        number=np.arange(len(contig)) - np.searchsorted(contig, contig) + 1,
        start=start,
        end=end,
        position=2 * (start == 0) + (end == batch.length[contig]),
        windows=count,
        scored_windows=total(scored).astype(np.int64),
        p_virus=p_virus,
        tier=(p_virus >= thresholds.tier_medium).astype(np.int64) + (p_virus >= thresholds.tier_high),
    )


def _viral_windows(batch: ContigBatch, windows: WindowScores, contigs: ContigScores, rule: Rule) -> Bools:
    """Return which windows belong to a region, bool (w,), with unscored ones at its ends."""
    bound = np.clip(rule.thresholds.region_threshold, 10.0**-DECIMALS, 1 - 10.0**-DECIMALS)
    evidence = np.where(windows.scored, windows.log_odds - rule.prior - log_odds_of(bound), 0.0)
    evidence = np.clip(evidence, -MOST_EVIDENCE, MOST_EVIDENCE) * (batch.end - batch.start) / rule.window_length
    return settled(batch, windows, contigs, viral_path(evidence, batch.windows, SWITCH_COST))


def settled(batch: ContigBatch, windows: WindowScores, contigs: ContigScores, viral: Bools) -> Bools:
    """Return `viral`, bool (w,), where it divides a contig that has a call; all others follow their calls."""
    owner = batch.window_contig
    counts = np.bincount(2 * owner + viral, windows.scored, 2 * len(batch)).reshape(-1, 2)
    divided = (counts > 0).all(axis=1) & (contigs.call != CALLS.index("none"))
    return np.where(divided[owner], viral, (contigs.call == CALLS.index("viral"))[owner])


def _extents(batch: ContigBatch, scored: Bools, viral: Bools) -> tuple[Int64s, Int64s]:
    """Return the first and the last window of each region, int64 (r,) each: scored ones, or those at a contig's end."""
    first, last = batch.ends
    begins = viral & (first | ~np.roll(viral, 1))
    border = np.flatnonzero(viral & (scored | first | last))
    changes = np.diff(np.cumsum(begins)[border], prepend=0, append=np.inf) > 0
    return border[changes[:-1]], border[changes[1:]]


def viral_path(evidence: Float64s, counts: Int64s, switch_cost: float) -> Bools:
    """Return which windows are viral on the best path of each contig, bool (w,).

    Args:
        evidence: Log-likelihood ratio of each window, virus to host, float64 (w,); 0 where nothing is known.
        counts: Number of windows of each contig, int64 (m,).
        switch_cost: Cost of a change between neighbouring windows, positive.
    """
    order = np.argsort(-counts, kind="stable")
    firsts, longest = (np.cumsum(counts) - counts)[order], int(counts.max(initial=0))
    # Window `k` of every contig that has so many, for one `k` after the other.
    having = np.searchsorted(-counts[order], -np.arange(longest), "left")
    # By how much the best path that ends here as virus leads the best one that ends here as host.
    lead = np.empty(len(evidence))
    so_far = np.zeros(len(counts))
    for k, n in enumerate(having.tolist()):
        at = firsts[:n] + k
        lead[at] = so_far[:n] = np.clip(so_far[:n], -switch_cost, switch_cost) + evidence[at]
    viral = np.empty(len(evidence), np.bool_)
    needed = np.zeros(len(counts))
    for k, n in reversed(list(enumerate(having.tolist()))):
        at = firsts[:n] + k
        viral[at] = lead[at] >= needed[:n]
        needed[:n] = np.where(viral[at], -switch_cost, switch_cost)
    return viral
