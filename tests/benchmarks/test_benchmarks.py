"""The benchmarks beside the package run on a CPU and say what they measured."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from benchmarks import alternatives, chunks, encoders, rounding
from benchmarks.inputs import run_command
from benchmarks.results import Results, SampleRate, to_markdown
from virnucpro_kernels.bench.encoders import Workload
from virnucpro_kernels.bench.results import Rate
from virnucpro_kernels.errors import UsageError, VirnucproError


def measure(app: typer.Typer, folder: Path, *options: str) -> tuple[dict[str, Any], str]:
    """Results and tables of a run on the CPU."""
    files = ("--json", str(folder / "b.json"), "--markdown", str(folder / "b.md"))
    result = CliRunner().invoke(app, ["--device", "cpu", *options, *files])
    assert result.exit_code == 0, result.output
    table = (folder / "b.md").read_text()
    assert table in result.output
    return json.loads((folder / "b.json").read_text()), table


def bench(folder: Path, *options: str) -> tuple[dict[str, Any], str]:
    return measure(encoders.app, folder, "--workload", "9", *options)


def test_rates_and_each_operation_of_a_layer_are_measured(tmp_path: Path) -> None:
    results, table = bench(tmp_path, "--preset", "10", "--no-reference")
    assert len(results["rates"]) == len(results["layers"]) == 1
    assert results["references"] == []
    assert "| esm2-8m | fp32 | 9 |" in table


@pytest.mark.parametrize("workload", ["9", "5-12"])  # with and without a mask
def test_the_encoder_of_transformers_is_measured_beside_ours(tmp_path: Path, workload: str) -> None:
    options = ("--workload", workload, "--rounds", "1", "--seconds", "0", "--token-budget", "64", "--no-compiled")
    results, table = measure(alternatives.app, tmp_path, *options)
    assert [(row["name"], row["precision"]) for row in results["alternatives"]] == [
        ("EsmModel, eager", "fp32"),
        ("VirNucPro", "fp32"),
    ]
    for row in results["alternatives"]:
        assert row["tokens_per_second"] > 0
        assert row["accuracy"]["worst"] > 0.999999
        assert row["accuracy"]["centred_mean"] > 0.999999
    assert "| EsmModel, eager | fp32 |" in table


def test_precisions_are_compared_by_length_of_the_sequences(tmp_path: Path) -> None:
    results, table = measure(rounding.app, tmp_path, "--workload", "9", "--workload", "30", "--precision", "fp32,bf16")
    rows = [(row["precision"], row["workload"]) for row in results["rounding"]]
    assert rows == [("fp32", "9"), ("fp32", "30"), ("bf16", "9"), ("bf16", "30")]
    assert [row["corrected"] for row in results["rounding"]] == [None] * 4
    assert results["rounding"][0]["centred_mean"] == pytest.approx(1)
    assert 0.99 < results["rounding"][3]["centred_mean"] < 0.99999
    assert "| esm2-8m | none | bf16 |" in table


def test_a_sweep_leaves_out_what_does_not_depend_on_the_budget(tmp_path: Path) -> None:
    options = ("--sweep-budget", "--token-budget", "64", "--preset", "10")
    results, table = bench(tmp_path, *options)
    assert len(results["rates"]) == 6
    assert "The original's way" not in table
    assert "One layer of" not in table
    _, table = bench(tmp_path, *options, "--layers")
    assert table.count("One layer of") == 1


@pytest.mark.parametrize("installed", [True, False], ids=["installed", "missing"])
def test_the_original_s_way_is_measured_where_it_can_be(
    tmp_path: Path, installed: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("esm.model.esm2")
    if not installed:
        for name in ("esm", "esm.model", "esm.model.esm2"):
            monkeypatch.setitem(sys.modules, name, None)
    results, _ = bench(tmp_path, "--preset", "10", "--no-layers")
    assert bool(results["references"]) == installed
    assert ("pip install 'virnucpro[reference]'" in caplog.text) != installed
    if not installed:
        requested = CliRunner().invoke(encoders.app, ["--device", "cpu", "--preset", "10", "--reference"])
        assert isinstance(requested.exception, UsageError)


def test_the_original_s_way_has_the_same_figures(tmp_path: Path) -> None:
    pytest.importorskip("esm.model.esm2")
    options = ("--rounds", "1", "--seconds", "0", "--token-budget", "64", "--no-layers", "--workload", "5-40")
    results, table = bench(tmp_path, *options)
    for row in results["references"]:
        lengths = Workload.parse(row["workload"]).lengths(2048 // int(row["workload"].split("-")[-1]))
        assert row["tokens_per_second"] / row["sequences_per_second"] == pytest.approx(lengths.mean())
    assert "| esm2-8m | 5-40 | " in table.split("The original's way")[1]
    for rate, reference in zip(results["rates"], results["references"], strict=True):
        times = rate["tokens_per_second"] / reference["tokens_per_second"]
        assert f"| esm2-8m | fp32 | {rate['workload']} |" in table
        assert f" | {times:.1f} |\n" in table
    assert " | 6.7 | " in to_markdown(Results({}, "", [Rate(**{**results["rates"][0], "peak_gigabytes": 6.71})]))


def test_every_part_of_a_layer_is_timed_and_low_precision_compared(tmp_path: Path) -> None:
    options = ("--rounds", "1", "--seconds", "0", "--token-budget", "64", "--accuracy", "2", "--no-reference")
    results, table = bench(tmp_path, *options, "--precision", "fp32,bf16")
    for layer in results["layers"]:
        products = [part for part in layer["parts"] if part["teraflop"]]
        assert len(products) == 4
        assert sum(part["teraflop"] for part in products) == pytest.approx(2e-12 * 63 * 12 * 320**2, rel=0.05)
    assert "| centred: worst | mean |" in table
    for row in results["accuracy"]:
        assert row["centred_worst"] <= row["centred_mean"] < row["mean"] or row["precision"] == "fp32"
    cosines = {(row["precision"], row["outliers"]): row["worst"] for row in results["accuracy"]}
    assert cosines["fp32", False] > 1 - 1e-6
    assert 0.99 < cosines["bf16", False] < 1 - 1e-7
    assert cosines["bf16", True] < 1 - 1e-7


def test_a_chunk_is_measured_file_to_file(tmp_path: Path) -> None:
    options = ("--chunk", "6x20", "--folder", str(tmp_path / "work"), "--threads", "1", "--seconds", "0")
    results, table = measure(chunks.app, tmp_path, *options)
    (chunk,) = results["chunks"]
    assert (chunk["encoder"], chunk["precision"], chunk["frames"], chunk["residues"]) == ("esm2-8m", "fp32", 6, 20)
    record = json.loads((tmp_path / "work" / "6x20" / "fp32" / "00000.embed.json").read_text())
    assert record["threads"] == 1
    assert chunk["protein_tokens"] == 6 * 22
    assert chunk["nucleotide_tokens"] == record["nucleotide"]["tokens"]
    assert chunk["tokens_per_second"] == pytest.approx(6 * 22 / chunk["seconds"])
    # 86 million parameters beside 8: another encoder, not the same one twice.
    assert chunk["protein_alone_tokens_per_second"] > 2 * chunk["nucleotide_alone_tokens_per_second"]
    alone = [chunk[f"{kind}_tokens"] / chunk[f"{kind}_alone_tokens_per_second"] for kind in ("protein", "nucleotide")]
    assert chunk["of_engine"] == pytest.approx(sum(alone) / chunk["seconds"])
    busy = record["nucleotide"]["device_seconds"] + record["protein"]["device_seconds"]
    assert chunk["device_fraction"] == pytest.approx(busy / chunk["seconds"])
    assert 0 < chunk["nucleotide_fraction"] < 1
    assert chunk["start_seconds"] > chunk["load_seconds"]
    (row,) = [line for line in table.splitlines() if line.startswith("| esm2-8m | fp32 | 6 | 20 |")]
    assert f" | {chunk['of_engine']:.3f} | {chunk['device_fraction']:.3f} | " in row


def test_more_gpus_are_compared_with_the_fewest() -> None:
    def sample(gpus: int, embed_seconds: float, precision: str = "fp16") -> SampleRate:
        return SampleRate(
            "esm2-3b", precision, gpus, 1000, 300.0, 3.0, embed_seconds, 2, 802, 41_000, 100.0, 98.71, 278_400.0
        )

    samples = [sample(2, 212.6), sample(1, 419.1), sample(1, 250.0, "fp8")]
    rows = to_markdown(Results({}, "", samples=samples)).splitlines()[-3:]
    assert [row.split(" | ")[3:8:4] for row in rows] == [["2", "1.97"], ["1", "1.00"], ["1", "1.00"]]
    assert all(row.endswith(" | 98.7 | 278.4 |") for row in rows)


def test_a_command_that_fails_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(VirnucproError, match=r"virnucpro verify ended with exit code 5: (?s:.*)nowhere"):
        run_command("verify", tmp_path / "nowhere")
