"""`benchmarks.samples` runs the workflow, and says how long it took."""

import json
import sys
from pathlib import Path

import pytest

from tests.helpers.runs import ROOT, call


def test_a_sample_is_measured_from_fasta_to_tables(tmp_path: Path) -> None:
    work, results, table = tmp_path / "work", tmp_path / "b.json", tmp_path / "b.md"
    options = ("--device", "cpu", "--encoder", "esm2-8m", "--reads", "30", "--folder", work)
    command = (sys.executable, "-m", "benchmarks.samples", *options, "--json", results, "--markdown", table)
    ended = call(command, ROOT, PYTHONPATH=str(ROOT))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (sample,) = json.loads(results.read_text())["samples"]
    assert (sample["encoder"], sample["precision"], sample["gpus"], sample["reads"]) == ("esm2-8m", "fp32", 0, 30)
    (contigs,) = work.glob("sample-30-*/results/*/contigs.tsv")
    assert len(contigs.read_text().splitlines()) == 1 + 30
    (manifest,) = work.glob("sample-30-*/work/*/*/chunks.tsv")
    assert sample["chunks"] == len(manifest.read_text().splitlines()) - 1
    # Frames of reads of 150 nt have 49 or 50 residues.
    assert 51 * sample["frames"] <= sample["protein_tokens"] <= 52 * sample["frames"]
    assert 0 < sample["split_seconds"] < sample["split_seconds"] + sample["embed_seconds"] < sample["seconds"]
    assert sample["tokens_per_second"] == pytest.approx(sample["protein_tokens"] / sample["embed_seconds"])
    assert (sample["utilisation_percent"], sample["joules"]) == (None, None)
    assert "| esm2-8m | fp32 | 30 | 0 | " in table.read_text()
