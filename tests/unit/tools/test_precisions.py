"""Precisions of this machine side by side, and the result kept with the model."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from virnucpro_kernels.cli.main import main
from virnucpro_kernels.score.run_record import describe_model
from virnucpro_kernels.tools.precisions import wilson_interval
from virnucpro_kernels.weights.registry import Calibration, find_model, read_model


def compare(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(
        sys, "argv", ["virnucpro", "weights", "compare-precisions", *map(str, words), "--device", "cpu"]
    )
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_precisions_are_compared_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "model"
    shutil.copytree(find_model("builtin-500", None).directory, directory)
    model = read_model(directory)
    assert "precisions" not in describe_model(model, None)
    assert compare(monkeypatch, directory, "--frames", 12, "--threads", 1, "--keep") == 0
    out = capsys.readouterr().out
    assert "12 frames of demo.fna.gz" in out
    assert "0 of 12 (0.0% to 24.2%)" in out

    kept = describe_model(model, "500-original")["precisions"]
    assert kept["sequences"]["frames"] == 12
    rows = {row["precision"]: row for row in kept["precisions"]}
    assert rows["fp32"]["protein"] == pytest.approx(dict.fromkeys(rows["fp32"]["protein"], 1.0))
    assert rows["fp32"]["protein_tokens_per_second"] > 0
    assert rows["fp32"]["largest_difference"] == 0
    if "bf16" in rows:
        assert 0.999 < rows["bf16"]["nucleotide"]["centred_worst"] < 1
        assert rows["bf16"]["largest_difference"] > 0
    else:
        assert "without bf16: precision bf16: this CPU has no instructions for it" in out

    calibrated = replace(model, calibration=Calibration(0.2, -1.0, 0.0, 0.0, 1.0, 0.0, 0.0, "some contigs"))
    assert describe_model(calibrated, None)["precisions"] == kept
    other = replace(model, classifier=replace(model.classifier, sha256="0" * 64))
    assert "precisions" not in describe_model(other, None)
    (directory / "precisions.json").write_text(json.dumps(kept)[:-5])
    assert "precisions.json" in describe_model(model, None)["precisions"]["unreadable"]


def test_sequences_of_the_user_need_an_open_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fasta = tmp_path / "stops.fa"
    fasta.write_text(f">a\n{'TAACTAACTAGTTAGTTAGCTAACTA' * 20}\n")
    assert compare(monkeypatch, "builtin-500", "--sequences", fasta) == 5
    assert "no window has a frame" in capsys.readouterr().err


@pytest.mark.parametrize(("changed", "count", "expected"), [(0, 100, (0, 0.0370)), (5, 20, (0.1119, 0.4687))])
def test_wilson_s_interval(changed: int, count: int, expected: tuple[float, float]) -> None:
    assert wilson_interval(changed, count) == pytest.approx(expected, abs=1e-4)
