"""`virnucpro evaluate`, through the command line: figures that are known."""

from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from tests.helpers.evaluations import SMALL, Run, write


def test_figures_of_a_small_table_are_those_computed_by_hand(tmp_path: Path, small_truth: Path, run: Run) -> None:
    ended = run(write(tmp_path / "scores.tsv", ["contig", "score"], SMALL.items()), "--truth", small_truth)
    assert ended.code == 0, ended.text
    as_host = {
        "auroc": 9 / 16,
        "average_precision": (1 + 2 / 3 + 3 / 5 + 4 / 8) / 4,
        "recall_at_1_percent_fpr": 1 / 4,
        "recall_at_5_percent_fpr": 1 / 4,
        "recall": 2 / 4,
        "false_positive_rate": 2 / 4,
        "precision": 2 / 4,
        "f1": 2 / 4,
        "mcc": 0.0,
    }
    for measure, value in as_host.items():
        assert ended.row(measure).value == pytest.approx(value, abs=1e-6), measure
    assert ended.row("auroc").n == 8
    left_out = {"auroc": 9 / 12, "recall": 2 / 3, "precision": 1 / 2}
    for measure, value in left_out.items():
        assert ended.row(measure, without_call="left_out").value == pytest.approx(value, abs=1e-6), measure
    assert ended.row("auroc", without_call="left_out").n == 7
    error = (0.1 + 0.65 + 0.5 + 0.7 + 0.2 + 0.1) / 7  # |sum of p - viral| of the bins from 0.9, 0.8, 0.5, 0.3, ...
    assert ended.row("expected_calibration_error", without_call="left_out").value == pytest.approx(error, abs=1e-6)
    realised = {0.1: (0, 1), 0.2: (1 / 3, 3), 0.05: (np.nan, 0)}
    for nominal, (value, chosen) in realised.items():
        row = ended.row("realised_fdr", f"fdr:{nominal:g}", without_call="left_out")
        assert row.value == pytest.approx(value, abs=1e-6, nan_ok=True), nominal
        assert row.n == chosen
    assert "scores: not in the results, so without a call: 1 contig of the truth" in ended.text
    assert "no column group" in ended.text


def test_measures_are_those_of_scikit_learn_in_every_draw(tmp_path: Path, run: Run) -> None:
    chance, n = np.random.default_rng(1), 400
    viral = chance.random(n) < 0.4
    score = np.round(chance.normal(size=n) + viral, 1)  # with ties
    truth = [(f"c{i}", "virus" if v else "host") for i, v in enumerate(viral)]
    scores = [(f"c{i}", value) for i, value in enumerate(score)]
    ended = run(
        *(write(tmp_path / "other.tsv", ["name", "logit"], scores), "--contig-column", "name"),
        *("--score-column", "logit", "--threshold", 0.7, "--bootstraps", 300),
        *("--truth", write(tmp_path / "truth.tsv", ["contig", "label"], truth)),
    )
    assert ended.code == 0, ended.text
    called = score >= 0.7
    false, true, _ = metrics.roc_curve(viral, score, drop_intermediate=False)
    expected = {
        "auroc": metrics.roc_auc_score(viral, score),
        "average_precision": metrics.average_precision_score(viral, score),
        "recall_at_1_percent_fpr": true[false <= 0.01].max(),
        "recall_at_5_percent_fpr": true[false <= 0.05].max(),
        "recall": metrics.recall_score(viral, called),
        "false_positive_rate": 1 - metrics.recall_score(~viral, ~called),
        "precision": metrics.precision_score(viral, called),
        "f1": metrics.f1_score(viral, called),
        "mcc": metrics.matthews_corrcoef(viral, called),
    }
    for measure, value in expected.items():
        row = ended.row(measure)
        assert row.value == pytest.approx(value, abs=2e-6), measure
        assert row.low < row.value < row.high, measure
    # The interval is that of a plain bootstrap within each class, within what chance leaves of both.
    places = [np.flatnonzero(viral), np.flatnonzero(~viral)]
    drawn = [np.concatenate([chance.choice(of, len(of)) for of in places]) for _ in range(300)]
    areas = [metrics.roc_auc_score(viral[i], score[i]) for i in drawn]
    low, high = np.quantile(areas, [0.025, 0.975])
    assert (ended.row("auroc").low, ended.row("auroc").high) == pytest.approx((low, high), abs=0.015)
    assert "the scores are no probabilities" in ended.text


KINDS = [
    ("p1", "virus", "phage", "A", "Fam", "prokaryotes", 400),
    ("p2", "virus", "phage", "B", "Fam", "prokaryotes", 6000),
    ("e1", "virus", "plant virus", "C", "Other", "eukaryotes", 400),
    ("b1", "host", "bacteria", "D", "", "prokaryotes", 400),
    ("b2", "host", "bacteria", "E", "", "prokaryotes", 6000),
    ("f1", "host", "fungi", "F", "", "eukaryotes", 400),
    ("s1", "control", "shuffled", "A", "", "", 400),
    ("s2", "control", "shuffled", "B", "", "", 400),
]


KIND_SCORES = {"p1": 0.9, "p2": 0.6, "e1": 0.2, "b1": 0.7, "b2": 0.1, "f1": 0.3, "s1": 0.8, "s2": 0.0, "unknown": 0.5}


def test_categories_families_domains_and_lengths_are_measured_by_themselves(tmp_path: Path, run: Run) -> None:
    columns = ["contig", "label", "category", "group", "family", "domain", "length"]
    truth = write(tmp_path / "truth.tsv", columns, KINDS)
    ended = run(write(tmp_path / "s.tsv", ["contig", "score"], KIND_SCORES.items()), "--truth", truth)
    assert ended.code == 0, ended.text
    expected = {
        ("auroc", "all"): (3 + 2 + 1) / 9,
        ("auroc", "category:phage"): 5 / 6,
        ("auroc", "category:plant virus"): 1 / 3,
        ("auroc", "category:bacteria"): (2 + 1 + 1) / 6,
        ("auroc", "family:Fam"): 5 / 6,
        ("recall", "family:Other"): 0.0,
        ("auroc", "domain:prokaryotes"): 3 / 4,
        ("auroc", "length:5000-9999"): 1.0,
        ("recall", "length:300-499"): 1 / 2,
        ("false_positive_rate", "all"): 1 / 3,
        ("false_positive_rate", "category:bacteria"): 1 / 2,
        ("false_positive_rate", "category:shuffled"): 1 / 2,
    }
    for (measure, subset), value in expected.items():
        assert ended.row(measure, subset).value == pytest.approx(value, abs=1e-6), (measure, subset)
    assert ended.row("auroc").n == 6, "controls count in their own category only"
    assert np.isnan(ended.row("recall", "family:Other").low), "one group gives no interval"
    assert "not in the truth, so left out: 1 contig of the results" in ended.text


def test_a_truth_of_hosts_alone_gives_false_positive_rates(tmp_path: Path, run: Run) -> None:
    rows = [("a", "host", "plasmid"), ("b", "host", "plasmid"), ("c", "host", "organelle")]
    truth = write(tmp_path / "truth.tsv", ["contig", "label", "category"], rows)
    scores = write(tmp_path / "s.tsv", ["contig", "score"], [("a", 0.6), ("b", 0.2), ("c", 0.1)])
    ended = run(scores, "--truth", truth)
    assert ended.code == 0, ended.text
    assert "The truth has no viruses: measures that need both are left out" in ended.text
    assert ended.row("false_positive_rate", "category:plasmid").value == 0.5
    assert set(ended.table["measure"]) == {"false_positive_rate"}
    assert 'data-figure="false_positives"' in (ended.folder / "evaluation.html").read_text()


def test_equal_probabilities_are_chosen_together(tmp_path: Path, small_truth: Path, run: Run) -> None:
    scores = {"v1": 0.9, "v2": 0.9, "h1": 0.9, "v3": 0.6, "h2": 0.1}
    ended = run(write(tmp_path / "s.tsv", ["contig", "score"], scores.items()), "--truth", small_truth)
    chosen = {0.05: 0, 0.1: 3, 0.2: 4}
    for nominal, number in chosen.items():
        assert ended.row("realised_fdr", f"fdr:{nominal:g}", without_call="left_out").n == number, nominal
