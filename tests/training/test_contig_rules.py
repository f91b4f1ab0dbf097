"""The rules for contigs on logits made by hand, and learnt rules that never see relatives of what they score."""

import numpy as np
import pytest

from tests.helpers.defaults import rule
from training.contig_rules import LEARNT, RULES, WindowLogits, learn

CONTIGS = WindowLogits(
    np.array([1, 1, 1, 4]), np.array([0, 400, 900, 0]), np.array([500, 900, 1000, 300]), np.array([2.0, -1.0, 5.0, 3.0])
).contigs()


def test_rules_by_hand() -> None:
    assert CONTIGS.contig.tolist() == [1, 4]
    assert CONTIGS.bases.tolist() == [1000, 300]
    in_use, weighted, unweighted, probability, highest = (score(CONTIGS, rule(500)) for score in RULES.values())
    assert weighted.tolist() == pytest.approx([(2 * 500 - 500 + 5 * 100) / 1100, 3])
    assert in_use.tolist() == weighted.tolist()  # without a calibration
    assert unweighted.tolist() == pytest.approx([2, 3])
    assert probability[1] == pytest.approx(1 / (1 + np.exp(-3.0)) - 0.5)
    assert highest.tolist() == [5, 3]


def test_features_by_hand() -> None:
    features = LEARNT["learnt: also extremes and spread"](CONTIGS)
    mean, spread = 10 / 11, np.std([2, -1, 5])
    windows = np.log2(3)
    assert features[0].tolist() == pytest.approx(
        [mean, windows, mean * windows, 5, -1, spread, 5 * mean, -mean, spread * mean]
    )
    assert features[1].tolist() == pytest.approx([3, 0, 0, 3, 3, 0, 9, 9, 0])


def test_a_learnt_rule_learns_nothing_from_relatives() -> None:
    chance = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 25)
    is_virus = groups % 2 == 1
    told = np.where(is_virus, 1.0, -1.0) + chance.normal(size=1000)
    found = learn(told[:, None], is_virus, groups.astype(str).tolist())
    assert np.mean((found > 0) == is_virus) > 0.8
    # What tells groups from each other, and not classes, is worth nothing.
    names = chance.normal(size=(40, 3))[groups]
    assert np.mean((learn(names, is_virus, groups.astype(str).tolist()) > 0) == is_virus) < 0.7
