"""Scores of windows and contigs, against the definitions written out one window at a time."""

import math
from typing import Any

import numpy as np
import pytest

from tests.helpers.contig_batches import Window, make_block
from tests.helpers.defaults import rule, thresholds
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.score.logistic import sigmoid
from virnucpro_kernels.score.sample_reader import ContigBatch
from virnucpro_kernels.score.scoring import CALLS, TIERS, score_contigs, score_windows


def random_batch(seed: int) -> ContigBatch:
    generator = np.random.default_rng(seed)
    contigs = []
    for _ in range(40):
        length = int(generator.integers(0, 2000))
        windows = []
        for start in range(0, length, 250):
            frames = generator.choice(6, generator.integers(0, 7), replace=False)
            window: Window = (
                start,
                min(length, start + 300),
                {
                    int(frame): float(generator.choice([-3, -0.5, 0, 0.5, 2, generator.normal() * 9]))
                    for frame in frames
                },
            )
            windows.append(window)
        contigs.append((length, windows))
    return make_block(contigs)


@pytest.mark.parametrize("evidence", [(0.5, 1, 0), (0, 1, 0), (1, 2, 0.3), (0.2, 4, 0.9)])
@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_the_definitions(seed: int, evidence: tuple[float, int, float]) -> None:
    batch = random_batch(seed)
    window_fraction, least_windows, covered_fraction = evidence
    chosen = rule(
        min_window_fraction=window_fraction, min_scored_windows=least_windows, min_covered_fraction=covered_fraction
    )
    windows = score_windows(batch, chosen)
    contigs = score_contigs(batch, windows, chosen)
    row = place = 0
    for index, count in enumerate(batch.windows):
        weighted = weight = 0.0
        covered: set[int] = set()
        kinds = [0, 0, 0]
        best_window, best_p = 0, -1.0
        for number in range(1, count + 1):
            frames = [frame for frame in range(6) if batch.mask[place] >> frame & 1]
            logits, scores = batch.logit[row : row + len(frames)], batch.scores[row : row + len(frames)]
            row += len(frames)
            assert windows.scored[place] == bool(frames)
            if frames:
                middle = (float(max(logits)) + float(min(logits))) / 2
                p = round(1 / (1 + math.exp(-middle)), 6)
                assert windows.p_virus[place] == pytest.approx(p, abs=1e-12)
                assert windows.best_frame[place] == frames[int(np.argmax(logits))]
                assert windows.is_virus[place] == (max(scores[:, 1]) >= max(scores[:, 0]))
                assert windows.margin[place] == pytest.approx(max(scores[:, 1]) - max(scores[:, 0]), abs=1e-6)
                size = int(batch.end[place] - batch.start[place])
                weighted, weight = weighted + middle * size, weight + size
                covered.update(range(batch.start[place], batch.end[place]))
                kinds[0 if p < 0.3 else 1 if p < 0.7 else 2] += 1
                if p > best_p:
                    best_window, best_p = number, p
            else:
                assert np.isnan(windows.p_virus[place])
                assert windows.best_frame[place] == -1
            place += 1
        assert contigs.scored_windows[index] == sum(kinds)
        assert contigs.window_calls[index].tolist() == kinds
        assert contigs.best_window[index] == best_window
        if batch.length[index]:
            assert contigs.covered_fraction[index] == pytest.approx(len(covered) / batch.length[index], abs=1e-6)
        else:
            assert np.isnan(contigs.covered_fraction[index])
        call = CALLS[contigs.call[index]]
        if not weight:
            assert np.isnan(contigs.p_virus[index])
            assert (call, contigs.tier[index]) == ("none", -1)
            continue
        p_virus = contigs.p_virus[index]
        assert p_virus == pytest.approx(1 / (1 + math.exp(-weighted / weight)), abs=1e-6)
        enough = (
            len(covered) >= window_fraction * 300
            and sum(kinds) >= min(least_windows, count)
            and round(len(covered) / batch.length[index], 6) >= covered_fraction
        )
        assert call == ("none" if not enough else "viral" if p_virus >= 0.5 else "host")
        tier = "high" if p_virus >= 0.9 else "medium" if p_virus >= 0.7 else "low"
        assert (TIERS[contigs.tier[index]] if contigs.tier[index] >= 0 else None) == (tier if call == "viral" else None)


def test_a_tie_is_a_virus_as_in_the_original() -> None:
    windows = score_windows(make_block([(300, [(0, 300, {0: 1.5, 4: -1.5}), (0, 300, {2: 0.0})])]), rule())
    assert windows.is_virus.tolist() == [True, True]
    assert windows.p_virus.tolist() == [0.5, 0.5]
    assert windows.margin.tolist() == [0, 0]
    assert windows.best_frame.tolist() == [0, 2]


def test_logits_of_frames_are_added_where_the_model_says_so() -> None:
    batch = make_block([(300, [(0, 300, {0: 4.0, 1: -1.0, 4: -2.5}), (0, 300, {2: -2.0, 3: 1.5})])])
    windows = score_windows(batch, rule(adds_frames=True))
    assert windows.logit.tolist() == [0.5, -0.5]
    assert windows.p_virus == pytest.approx([1 / (1 + math.exp(-0.5)), 1 / (1 + math.exp(0.5))], abs=1e-6)
    assert windows.is_virus.tolist() == [True, False]
    assert windows.best_frame.tolist() == [0, 3]


def test_a_tie_by_saturation_is_decided_as_in_the_original_but_scored_by_logits() -> None:
    windows = score_windows(make_block([(300, [(0, 300, {0: 25.0, 1: -40.0})])]), rule())
    assert windows.is_virus.tolist() == [True]
    assert windows.p_virus[0] == pytest.approx(1 / (1 + math.exp(7.5)), abs=1e-6)


def test_the_original_decision_is_p_virus_of_at_least_a_half_away_from_ties() -> None:
    generator = np.random.default_rng(3)
    windows = score_windows(
        make_block(
            [
                (300, [(0, 300, {f: float(generator.normal() * 4) for f in range(generator.integers(1, 7))})])
                for _ in range(3000)
            ]
        ),
        rule(),
    )
    clear = np.abs(windows.p_virus - 0.5) > 1e-5
    assert clear.sum() > 2900
    assert ((windows.p_virus >= 0.5) == windows.is_virus)[clear].all()


def test_the_longer_window_weighs_more() -> None:
    batch = make_block([(400, [(0, 300, {0: 2.0}), (300, 400, {0: -2.0})])])
    contigs = score_contigs(batch, score_windows(batch, rule()), rule())
    assert contigs.p_virus.tolist() == [round(1 / (1 + math.exp(-1)), 6)]


def test_a_contig_of_one_window_has_the_score_of_the_window() -> None:
    generator = np.random.default_rng(4)
    members: list[list[Window]] = [[(0, 150, {0: float(generator.normal() * 5), 3: 0.1})] for _ in range(2000)]
    batch = make_block([(150, windows) for windows in members])
    windows = score_windows(batch, rule())
    np.testing.assert_array_equal(score_contigs(batch, windows, rule()).p_virus, windows.p_virus)


def test_thresholds_move_calls_tiers_and_bands() -> None:
    batch = make_block([(300, [(0, 300, {0: 0.7})])])  # p_virus 0.668
    windows = score_windows(batch, rule())
    strict = score_contigs(batch, windows, rule(viral_threshold=0.67, ambiguous_band=(0.1, 0.2)))
    assert CALLS[strict.call[0]] == "host"
    assert strict.window_calls.tolist() == [[0, 0, 1]]
    lower = rule(viral_threshold=0.1, tier_medium=0.5, tier_high=0.6, ambiguous_band=(0.6, 0.9))
    loose = score_contigs(batch, windows, lower)
    assert (CALLS[loose.call[0]], TIERS[loose.tier[0]]) == ("viral", "high")
    assert loose.window_calls.tolist() == [[0, 1, 0]]


@pytest.mark.parametrize(
    ("length", "windows", "evidence", "call"),
    [
        (23, [(0, 23)], {}, "none"),
        (149, [(0, 149)], {}, "none"),
        (150, [(0, 150)], {}, "viral"),
        (23, [(0, 23)], {"min_window_fraction": 0}, "viral"),
        (640, [(0, 300)], {"min_scored_windows": 2}, "viral"),  # its only window
        (640, [(0, 300), None], {}, "viral"),
        (640, [(0, 300), None], {"min_scored_windows": 2}, "none"),
        (640, [(0, 300), None], {"min_covered_fraction": 0.46875}, "viral"),
        (640, [(0, 300), None], {"min_covered_fraction": 0.469}, "none"),
        (
            460,
            [(0, 300), (160, 460)],
            {"min_scored_windows": 3, "min_window_fraction": 1, "min_covered_fraction": 1},
            "viral",
        ),
    ],
)
def test_a_call_needs_evidence(
    length: int, windows: list[tuple[int, int] | None], evidence: dict[str, Any], call: str
) -> None:
    made = [(*window, {0: 5.0}) if window else (300, length, {}) for window in windows]
    batch = make_block([(length, made)])
    contigs = score_contigs(batch, score_windows(batch, rule()), rule(**evidence))
    assert CALLS[contigs.call[0]] == call
    assert (contigs.tier[0] >= 0) == (call == "viral")
    assert contigs.p_virus.tolist() == [round(1 / (1 + math.exp(-5)), 6)], "the score stays"


def test_a_base_of_two_windows_counts_in_both() -> None:
    batch = make_block([(400, [(0, 300, {0: 2.0}), (100, 400, {0: -1.0})])])
    contigs = score_contigs(batch, score_windows(batch, rule()), rule())
    assert contigs.p_virus.tolist() == [round(1 / (1 + math.exp(-0.5)), 6)]
    assert contigs.covered_fraction.tolist() == [1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_window_fraction": -1}, "min_window_fraction: -1 is not a probability or fraction"),
        ({"min_covered_fraction": 2}, "min_covered_fraction: 2 is not"),
        ({"viral_threshold": 1.5}, "viral_threshold: 1.5 is not a probability"),
        ({"viral_threshold": float("nan")}, "not a probability"),
        ({"ambiguous_band": (0.8, 0.2)}, "0.8 is above 0.2"),
        ({"ambiguous_band": (-0.1, 0.2)}, "ambiguous_band: -0.1"),
        ({"tier_medium": 0.95}, "tier_medium .0.95. is above tier_high"),
    ],
)
def test_bad_thresholds_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        thresholds(**values)


def test_sigmoid_does_not_overflow() -> None:
    assert sigmoid([-1e4, 0, 1e4]).tolist() == [0, 0.5, 1]
