"""Calibrated log-odds: the rule's formula, the share of viruses in a sample, and its false discovery rates."""

import math

import numpy as np
import pytest

from tests.helpers.contig_batches import make_block
from tests.helpers.defaults import rule
from virnucpro_kernels.score.discoveries import Discoveries
from virnucpro_kernels.score.scoring import score_contigs, score_windows
from virnucpro_kernels.weights.registry import Calibration

CALIBRATION = Calibration(0.2, -1.5, -0.25, 0.25, 0.75, 0.5, -0.5, "made up")


def test_log_odds_change_with_the_scored_bases() -> None:
    chosen = rule(calibration=CALIBRATION)
    batch = make_block([(1200, [(0, 300, {0: 2.0}), (300, 600, {1: 4.0}), (600, 900, {}), (900, 1200, {2: 0.0})])])
    windows = score_windows(batch, chosen)
    assert windows.log_odds[:2].tolist() == [-1.5 + 0.75 * 2, -1.5 + 0.75 * 4]
    # A quarter of a window is two halvings.
    assert chosen.log_odds(np.array([2.0]), 75) == [-1.5 + 2 * 0.25 + max(0.75 - 2 * 0.5, 0) * 2]
    assert windows.p_virus[0] == 0.5
    # Three windows of 300 bp, with a mean logit of 2.
    doublings = math.log2(900 / 300)
    expected = -1.5 - 0.25 * doublings + (0.75 + 0.5 * doublings) * 2
    assert score_contigs(batch, windows, chosen).p_virus[0] == pytest.approx(1 / (1 + math.exp(-expected)), abs=1e-6)


def test_a_higher_logit_never_lowers_the_log_odds() -> None:
    logits = np.array([-3.0, 0.0, 3.0])
    for bases in (3, 30, 300, 300_000):
        found = rule(calibration=CALIBRATION).log_odds(logits, bases)
        assert (np.diff(found) >= 0).all()


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_the_rates_of_a_sample_are_those_that_come_true(share: float) -> None:
    generator = np.random.default_rng(1)
    is_virus = generator.random(200_000) < share
    # Two normal distributions with means ±m and variance 1 have the log-likelihood ratio 2mx.
    evidence = 2 * 1.25 * (generator.normal(size=len(is_virus)) + np.where(is_virus, 1.25, -1.25))
    log_odds = evidence + math.log(0.2 / 0.8)
    found = Discoveries.of(log_odds, 0.2, fdr=0.1)
    assert found.viral_share == pytest.approx(share, rel=0.05)
    viral = found.chosen(log_odds)
    assert 1 - is_virus[viral].mean() == pytest.approx(0.1, abs=0.02)
    q_values = found.q_values(log_odds)
    assert (viral == (q_values <= 0.1)).all()
    order = np.argsort(log_odds)
    assert (np.diff(q_values[order]) <= 0).all()


def test_equal_scores_have_equal_rates_and_missing_ones_none() -> None:
    found = Discoveries.of(np.array([3.0, 3.0, -2.0]), 0.5, 0.05)
    q_values = found.q_values(np.array([3.0, 3.0, -2.0, np.nan, -5.0]))
    assert q_values[0] == q_values[1] < q_values[2] < q_values[4] == 1
    assert np.isnan(q_values[3])
    assert not found.chosen(np.array([np.nan]))[0]


def test_a_sample_without_scores_has_no_discoveries() -> None:
    found = Discoveries.of(np.empty(0), 0.2, 0.05)
    assert found.chosen(np.array([4.0])).tolist() == [False]
