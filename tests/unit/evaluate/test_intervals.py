"""`virnucpro evaluate`, through the command line: intervals, and differences in the same draws."""

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.evaluations import SMALL, Ended, Run, write


def grouped(copies: int, groups: bool) -> tuple[list[tuple[object, ...]], list[tuple[str, float]]]:
    """A truth of 30 groups, and scores; all contigs of a group have the same score."""
    chance = np.random.default_rng(2)
    truth: list[tuple[object, ...]] = []
    scores = []
    for group in range(30):
        label, score = ("virus", "host")[group % 2], float(chance.normal() + group % 2)
        for copy in range(copies):
            truth.append((f"{group}_{copy}", label, f"G{group}" if groups else ""))
            scores.append((f"{group}_{copy}", score))
    return truth, scores


def width(run: Run, folder: Path, copies: int, groups: bool, *options: object) -> tuple[float, Ended]:
    truth, scores = grouped(copies, groups)
    truth_path = write(folder / "truth.tsv", ["contig", "label", "group"], truth)
    arguments = ("--truth", truth_path, "--bootstraps", 200, *options)
    ended = run(write(folder / "s.tsv", ["contig", "score"], scores), *arguments)
    assert ended.code == 0, ended.text
    row = ended.row("auroc")
    return row.high - row.low, ended


def test_relatives_make_no_interval_narrower(tmp_path: Path, run: Run) -> None:
    alone, _ = width(run, tmp_path, 1, True)
    copied, _ = width(run, tmp_path, 25, True)
    independent, _ = width(run, tmp_path, 25, False)
    assert copied == pytest.approx(alone, abs=1e-6)
    assert independent < copied / 3


def test_the_seed_decides_the_intervals_and_none_are_made_without_draws(tmp_path: Path, run: Run) -> None:
    _, first = width(run, tmp_path, 2, True)
    content = (first.folder / "evaluation.tsv").read_bytes()
    low, high = first.row("auroc").low, first.row("auroc").high
    width(run, tmp_path, 2, True)
    assert (first.folder / "evaluation.tsv").read_bytes() == content
    _, other = width(run, tmp_path, 2, True, "--seed", 1)
    assert (other.row("auroc").low, other.row("auroc").high) != (low, high)
    _, none = width(run, tmp_path, 2, True, "--bootstraps", 0)
    assert none.table[["low", "high"]].isna().all(axis=None)
    assert none.table["value"].notna().any()


def test_results_side_by_side_are_drawn_together(tmp_path: Path, small_truth: Path, run: Run) -> None:
    first = write(tmp_path / "first.tsv", ["contig", "score"], SMALL.items())
    same = write(tmp_path / "same.tsv", ["contig", "score"], SMALL.items())
    (tmp_path / "date=1").mkdir()
    best = write(
        tmp_path / "date=1" / "best.tsv", ["contig", "score"], [(name, int(name[0] == "v")) for name in [*SMALL, "v4"]]
    )
    ended = run(first, same, f"perfect={best}", "--truth", small_truth)
    assert ended.code == 0, ended.text
    row = ended.row("auroc_minus_first", results="same")
    assert (row.value, row.low, row.high) == (0, 0, 0)
    assert ended.row("auroc_minus_first", results="perfect").value == pytest.approx(7 / 16)
    twice = run(first, first, "--truth", small_truth)
    assert twice.code == 5
    assert "two results are called first; put another name before one" in twice.text
