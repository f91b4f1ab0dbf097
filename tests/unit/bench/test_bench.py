"""The benchmark runs on a CPU and says what it measured."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from virnucpro_kernels.bench.encoders import Workload, flop_a_token, make_batches, make_encoder
from virnucpro_kernels.bench.options import precisions_of
from virnucpro_kernels.bench.results import Rate, Results
from virnucpro_kernels.bench.run import Plan
from virnucpro_kernels.bench.sample import SampleRate
from virnucpro_kernels.bench.subcommand import run_command
from virnucpro_kernels.bench.tables import markdown
from virnucpro_kernels.cli.main import app
from virnucpro_kernels.embed.encoders import default_budget
from virnucpro_kernels.errors import UsageError, VirnucproError

CPU = torch.device("cpu")


def bench(folder: Path, *options: str) -> tuple[dict[str, Any], str]:
    """Results and tables of a run on the CPU."""
    files = ("--json", str(folder / "b.json"), "--markdown", str(folder / "b.md"))
    workload = () if "--chunk" in options else ("--workload", "9")
    result = CliRunner().invoke(app, ["bench", "--device", "cpu", *workload, *options, *files])
    assert result.exit_code == 0, result.output
    table = (folder / "b.md").read_text()
    assert table in result.output
    return json.loads((folder / "b.json").read_text()), table


def test_a_preset_measures_engine_and_ceiling(tmp_path: Path) -> None:
    results, table = bench(tmp_path, "--preset", "10", "--no-reference")
    (rate,) = results["rates"]
    assert (rate["encoder"], rate["precision"], rate["workload"]) == ("esm2-8m", "fp32", "9")
    assert rate["tokens_per_second"] == pytest.approx(9 * rate["sequences_per_second"])
    assert rate["of_ceiling"] == pytest.approx(rate["tokens_per_second"] / rate["ceiling_tokens_per_second"])
    assert rate["packing"] == pytest.approx(90 / default_budget("fp32", CPU))
    assert rate["peak_gigabytes"] is None
    assert rate["reference_tokens_per_second"] is None
    assert len(rate["rounds"]) == len(results["layers"]) == 1
    assert results["machine"]["torch"] == torch.__version__
    assert "| esm2-8m | fp32 | 9 |" in table


def test_a_preset_takes_the_rounds_and_seconds_that_it_is_given(tmp_path: Path) -> None:
    options = ("--preset", "10", "--rounds", "3", "--seconds", "0.2", "--no-reference", "--no-layers")
    results, _ = bench(tmp_path, *options)
    (rate,) = results["rates"]
    assert len(rate["rounds"]) == 3
    assert rate["measured_seconds"] >= 0.6
    assert results["layers"] == []


@pytest.mark.parametrize("installed", [True, False], ids=["installed", "missing"])
def test_the_original_s_way_is_measured_where_it_can_be(
    tmp_path: Path, installed: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("esm.model.esm2")
    if not installed:
        for name in ("esm", "esm.model", "esm.model.esm2"):
            monkeypatch.setitem(sys.modules, name, None)
    results, _ = bench(tmp_path, "--preset", "10", "--no-layers")
    assert (results["rates"][0]["reference_tokens_per_second"] is not None) == installed
    assert ("pip install 'virnucpro[reference]'" in caplog.text) != installed
    if not installed:
        asked = CliRunner().invoke(app, ["bench", "--device", "cpu", "--preset", "10", "--reference"])
        assert isinstance(asked.exception, UsageError)


def test_fp32_is_not_measured_as_tf32(tmp_path: Path) -> None:
    torch.set_float32_matmul_precision("high")  # as by an environment variable
    try:
        bench(tmp_path, "--preset", "10", "--no-reference")
        assert torch.get_float32_matmul_precision() == "highest"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_the_original_s_way_has_the_same_figures(tmp_path: Path) -> None:
    pytest.importorskip("esm.model.esm2")
    options = ("--rounds", "1", "--seconds", "0", "--token-budget", "64", "--no-layers", "--workload", "5-40")
    results, table = bench(tmp_path, *options)
    for row in results["rates"]:
        lengths = Workload.parse(row["workload"]).lengths(2048 // int(row["workload"].split("-")[-1]))
        assert row["reference_tokens_per_second"] / row["reference_sequences_per_second"] == pytest.approx(
            lengths.mean()
        )
    assert "| esm2-8m | 5-40 | " in table.split("The original's way")[1]
    rate = Rate(**{**results["rates"][0], "peak_gigabytes": 6.71, "reference_peak_gigabytes": 13.86})
    engine, reference = markdown(Results({}, "", [rate, rate])).split("The original's way")
    assert " | 6.7 | " in engine
    assert reference.count(" | 13.9 |") == 1


def test_of_fp16_and_fp8_an_encoder_is_measured_in_what_it_has() -> None:
    assert precisions_of("esm2-8m", ["fp16", "fp8"]) == ["fp16", "fp8"]
    assert precisions_of("dnabert-s", ["fp16", "fp8"]) == ["fp16"]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_token_budgets_are_those_of_a_run(precision: str) -> None:
    gpu = torch.device("cuda")
    default = default_budget(precision, gpu)
    assert Plan("esm2-3b", [precision], []).budgets(precision, gpu) == [default]
    assert Plan("esm2-3b", [precision], [], token_budget=640).budgets(precision, gpu) == [640]
    sweep = Plan("esm2-3b", [precision], [], sweep=True).budgets(precision, gpu)
    assert sweep[0] == default // 4
    assert default in sweep
    assert sweep == sorted(sweep)


def test_a_sweep_names_the_fastest_budget(tmp_path: Path) -> None:
    files = ("--json", str(tmp_path / "b.json"), "--workload", "9", "--workload", "5-40")
    options = ("--sweep-budget", "--token-budget", "64", "--rounds", "1", "--seconds", "0", *files)
    result = CliRunner().invoke(app, ["bench", "--device", "cpu", *options])
    rates: dict[int, list[float]] = {}
    for rate in json.loads((tmp_path / "b.json").read_text())["rates"]:
        rates.setdefault(rate["token_budget"], []).append(rate["tokens_per_second"])
    assert len(rates) == 6
    assert all(len(of_budget) == 2 for of_budget in rates.values())
    best = max(rates, key=lambda budget: sum(rates[budget]))
    assert f"best token budget of esm2-8m in fp32: {best:,} " in result.output
    assert "The original's way" not in result.output
    assert "One layer of" not in result.output
    options = ("--sweep-budget", "--token-budget", "64", "--preset", "10", "--workload", "9", "--layers")
    result = CliRunner().invoke(app, ["bench", "--device", "cpu", *options])
    assert result.output.count("One layer of") == 1


def test_every_part_of_a_layer_is_timed_and_low_precision_compared(tmp_path: Path) -> None:
    options = ("--rounds", "1", "--seconds", "0", "--token-budget", "64", "--accuracy", "2", "--no-reference")
    results, _ = bench(tmp_path, *options, "--precision", "fp32,bf16")
    for layer in results["layers"]:
        products = [part for part in layer["parts"] if part["teraflop"]]
        assert len(products) == 4
        assert sum(part["teraflop"] for part in products) == pytest.approx(2e-12 * 63 * 12 * 320**2, rel=0.05)
    cosines = {(row["precision"], row["outliers"]): row["worst"] for row in results["accuracy"]}
    assert cosines["fp32", False] > 1 - 1e-6
    assert 0.99 < cosines["bf16", False] < 1 - 1e-7
    assert cosines["bf16", True] < 1 - 1e-7


def test_weights_are_those_that_fair_esm_begins_with() -> None:
    """As to their spread: the sequence of random numbers is another one."""
    esm = pytest.importorskip("esm.model.esm2")
    torch.manual_seed(0)
    theirs = esm.ESM2(6, 320, 20)
    ours = make_encoder("esm2-8m", CPU)
    block, layer = ours.blocks[3], theirs.layers[3]
    pairs = [
        (ours.embedding.weight / 0.88, theirs.embed_tokens.weight),
        (block.attention.qkv.weight[640:], layer.self_attn.v_proj.weight),
        (block.attention.qkv.bias, layer.self_attn.v_proj.bias),
        (block.attention.out.weight, layer.self_attn.out_proj.weight),
        (block.feed_forward.up.weight, layer.fc1.weight),
        (block.feed_forward.up.bias, layer.fc1.bias),
        (block.feed_forward.down.weight, layer.fc2.weight),
        (block.feed_forward_norm.carried_bias - ours.blocks[2].feed_forward_norm.carried_bias, layer.fc2.bias),
    ]
    for mine, reference in pairs:
        assert float(mine.detach().std()) == pytest.approx(float(reference.detach().std()), rel=0.1)
    products = sum(p.numel() for name, p in theirs.layers.named_parameters() if p.dim() == 2)
    assert flop_a_token(ours) == 2 * products


def test_batches_hold_the_asked_sequences() -> None:
    batches = make_batches(Workload.parse("5-40"), 100, 256, 33, CPU)
    lengths = np.concatenate([batch.lengths for batch in batches.batches])
    assert len(lengths) == batches.sequences == 100
    assert (lengths.min(), lengths.max()) == (5, 40)
    assert batches.tokens == lengths.sum()
    assert all(batch.lengths.sum() <= 256 for batch in batches.batches)


def test_a_chunk_is_measured_file_to_file(tmp_path: Path) -> None:
    options = ("--chunk", "6x20", "--folder", str(tmp_path / "work"), "--threads", "1", "--seconds", "0")
    results, table = bench(tmp_path, *options)
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
    assert chunk["device_share"] == pytest.approx(busy / chunk["seconds"])
    assert 0 < chunk["nucleotide_share"] < 1
    assert chunk["start_seconds"] > chunk["load_seconds"]
    (row,) = [line for line in table.splitlines() if line.startswith("| esm2-8m | fp32 | 6 | 20 |")]
    assert f" | {chunk['of_engine']:.3f} | {chunk['device_share']:.3f} | " in row


def test_more_gpus_are_compared_with_the_fewest() -> None:
    def sample(gpus: int, embed_seconds: float, precision: str = "fp16") -> SampleRate:
        return SampleRate(
            "esm2-3b", precision, gpus, 1000, 300.0, 3.0, embed_seconds, 2, 802, 41_000, 100.0, 98.71, 278_400.0
        )

    samples = [sample(2, 212.6), sample(1, 419.1), sample(1, 250.0, "fp8")]
    rows = markdown(Results({}, "", samples=samples)).splitlines()[-3:]
    assert [row.split(" | ")[3:8:4] for row in rows] == [["2", "1.97"], ["1", "1.00"], ["1", "1.00"]]
    assert all(row.endswith(" | 98.7 | 278.4 |") for row in rows)


def test_a_command_that_fails_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(VirnucproError, match=r"virnucpro verify ended with exit code 5: (?s:.*)nowhere"):
        run_command("verify", tmp_path / "nowhere")
