"""`virnucpro predict`: what it says of its calls, and what decides them."""

import json
from pathlib import Path

import pandas as pd

from tests.helpers.runs import MODEL, contigs, virnucpro


def test_a_layout_that_the_model_does_not_know_is_told_at_the_start_the_end_and_in_the_report(tmp_path: Path) -> None:
    out, sequences = tmp_path / "out", tmp_path / "some.fa"
    sequences.write_text(contigs(0, 14))
    asked = ("--model", "compact-500", "--set", "layout=original")
    ended = virnucpro("predict", sequences, "--output-dir", out, *asked)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    notice = "compact-500 was not trained on frames of the layout original: its scores there are untried"
    said = " ".join(ended.stderr.split())
    assert f"layout {notice}" in said
    assert "errors Of genomes unlike those of its training" not in said
    assert f"note: {notice}" in " ".join((ended.stdout + ended.stderr).split())
    assert notice in (out / "results" / "report.html").read_text()
    record = json.loads((out / "results" / "some" / "run.json").read_text())
    assert record["model"]["notice"].startswith(notice)


def test_a_false_discovery_rate_decides_the_calls_of_a_calibrated_model(tmp_path: Path) -> None:
    out, sequences = tmp_path / "out", tmp_path / "some.fa"
    sequences.write_text(contigs(0, 14))
    refused = virnucpro("predict", sequences, "--output-dir", out, "--model", MODEL, "--fdr", "0.2")
    assert refused.returncode == 5
    assert f"fdr: model {MODEL} has no calibration" in refused.stderr
    assert f"-calibrated && virnucpro calibrate ./{MODEL}-calibrated --genomes" in " ".join(refused.stderr.split())
    assert not out.exists()

    ended = virnucpro("predict", sequences, "--output-dir", out, "--model", "compact-500", "--fdr", "0.2")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "errors   Of genomes unlike those of its training" in ended.stderr
    assert "no probabilities" not in ended.stderr
    table = pd.read_csv(out / "results" / "some" / "contigs.tsv", sep="\t")
    assert table["p_virus"].notna().all(), "each has a segment"
    assert ((table["call"] == "viral") == (table["q_value"] <= 0.2)).all()
    assert set(table["call"]) == {"viral", "host"}
    record = json.loads((out / "results" / "some" / "run.json").read_text())
    assert record["parameters"]["thresholds"]["fdr"] == 0.2
    assert 0 < record["parameters"]["viral_share"] < 1
    said = " ".join(ended.stderr.split())
    assert "up to a false discovery rate of 0.2, in the place of viral_threshold" in said
    assert "assumes that the viruses and hosts of a sample are as hard to tell apart" in said

    again = virnucpro("predict", "--output-dir", out, "--set", "fdr=null", "--label", "")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "false discovery rate" not in again.stderr
    table = pd.read_csv(out / "results" / "some" / "contigs.tsv", sep="\t")
    assert ((table["call"] == "viral") == (table["p_virus"] >= 0.5)).all()
