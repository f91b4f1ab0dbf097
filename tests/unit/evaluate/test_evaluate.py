"""`virnucpro evaluate`, through the command line: what is refused, what is said, what is written."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.evaluations import SMALL, Run, write


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name\tlabel\nv1\tvirus\n", "there is no column contig; the columns are name, label"),
        ("a\tb\nv1\tvirus\n", "there is no column contig and no column label"),
        ("contig\tlabel\n", "the table has no contigs"),
        (
            "contig\tlabel\nv1\tvirus\nh1\tbacterium\n",
            "the label of 'h1' is 'bacterium' (1 such rows); a label is virus",
        ),
        ("contig\tlabel\nv1\tvirus\nv1\tvirus\n", "contig 'v1' has several rows"),
        ("contig\tlabel\tlength\nv1\tvirus\tlong\n", "the length of 'v1' is 'long', no number"),
        ("contig\tlabel\nx\tvirus\ny\thost\n", "have no contig in common: the one has v1, v2, v3, h1, h2 and 2 more"),
        ("contig\tlabel\nx\tvirus\ty\n", "the first row has more fields than there are columns"),
        ("contig\tlabel\nx\tvirus\ny\n", "the label of 'y' is ''"),
        ("", "cannot be read as a tab-separated table"),
    ],
)
def test_a_truth_that_cannot_be_used_is_refused(tmp_path: Path, run: Run, content: str, message: str) -> None:
    truth = tmp_path / "truth.tsv"
    truth.write_text(content)
    ended = run(write(tmp_path / "s.tsv", ["contig", "score"], SMALL.items()), "--truth", truth)
    assert ended.code == 5, ended.text
    assert message in ended.text
    assert not ended.folder.exists()


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([("v1", "high")], (), "the score of 'v1' is 'high', which is no number"),
        ([("v1", 1), ("v1", 2)], (), "contig 'v1' has several rows"),
        ([("v1", 1)], ("--score-column", "p"), "there is no column p; the columns are contig, score"),
        ([("v1", 1)], ("--share", "0"), "--share 0: give a share between 0 and 1"),
        ([("v1", 1)], ("--training-genomes", "x.fna"), "--training-genomes and --sequences: both are needed"),
    ],
)
def test_results_that_cannot_be_used_are_refused(
    tmp_path: Path, small_truth: Path, run: Run, rows: list[Any], options: tuple[str, ...], message: str
) -> None:
    ended = run(write(tmp_path / "s.tsv", ["contig", "score"], rows), "--truth", small_truth, *options)
    assert ended.code == 5, ended.text
    assert message in ended.text


def test_files_that_are_not_there_are_named(tmp_path: Path, small_truth: Path, run: Run) -> None:
    for arguments in ((tmp_path / "none.tsv", "--truth", small_truth), (small_truth, "--truth", tmp_path / "none.tsv")):
        ended = run(*arguments)
        assert ended.code == 5
        assert str(tmp_path / "none.tsv") in ended.text


def test_json_and_page_hold_what_was_found(tmp_path: Path, small_truth: Path, run: Run) -> None:
    ended = run(write(tmp_path / "<b>.tsv", ["contig", "score"], SMALL.items()), "--truth", small_truth)
    assert ended.code == 0, ended.text
    content = json.loads((ended.folder / "evaluation.json").read_text())
    assert content["truth"]["virus"] == 4
    assert len(content["measures"]) == len(ended.table)
    assert content["results"][0]["contigs_not_in_results"] == 1
    page = (ended.folder / "evaluation.html").read_text()
    data = json.loads(re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[0])
    drawn = re.findall(r'<figure data-figure="(\w+)">', page)
    assert set(drawn) == set(data["figures"]) == {"roc", "precision", "reliability", "fdr"}
    assert "<h1>&lt;b&gt;: AUROC 0.562 of 8 contigs</h1>" in page


def test_without_a_share_contigs_with_a_call_count_as_they_are(tmp_path: Path, small_truth: Path, run: Run) -> None:
    some = {name: score for name, score in SMALL.items() if name not in ("h2", "h3", "h4")}
    results = write(tmp_path / "s.tsv", ["contig", "score"], some.items())
    without = run(results, "--truth", small_truth)
    assert "those of the contigs with a call, which are 75.0 % viral" in " ".join(without.text.split())
    named = [run(results, "--truth", small_truth, "--share", share, folder=str(share)) for share in (0.5, 0.75)]
    errors = [ended.row("expected_calibration_error", without_call="left_out").value for ended in (without, *named)]
    assert errors[0] == errors[2] != errors[1]
