"""The benchmark runs on a CPU and says what it measured."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.helpers.blocks import esm2_blocks
from virnucpro_kernels.bench.encoders import Workload, flop_a_token, make_batches, make_encoder
from virnucpro_kernels.bench.options import precisions_of
from virnucpro_kernels.bench.results import Rate, compare, read_rates
from virnucpro_kernels.bench.run import Plan
from virnucpro_kernels.cli.main import app
from virnucpro_kernels.embed.encoders import default_budget
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.models.esm2 import Esm2

CPU = torch.device("cpu")
RATE = Rate(
    encoder="esm2-3b",
    precision="fp16",
    workload="168",
    token_budget=33_792,
    tokens_per_second=105_000.0,
    sequences_per_second=625.0,
    packing=0.99,
    ceiling_tokens_per_second=115_000.0,
    of_ceiling=0.913,
    teraflop_per_second=595.0,
    peak_gigabytes=6.7,
    reserved_gigabytes=7.0,
    rounds=[(105_000.0, 115_000.0)],
    measured_seconds=50.0,
)


def bench(folder: Path, *options: str) -> tuple[dict[str, Any], str]:
    """Results and output of a run on the CPU."""
    words = ["bench", "--device", "cpu", "--workload", "9", *options, "--json", str(folder / "b.json")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return json.loads((folder / "b.json").read_text()), result.output


def test_a_preset_measures_engine_and_ceiling(tmp_path: Path) -> None:
    results, output = bench(tmp_path, "--preset", "10")
    (rate,) = results["rates"]
    assert (rate["encoder"], rate["precision"], rate["workload"]) == ("esm2-8m", "fp32", "9")
    assert rate["tokens_per_second"] == pytest.approx(9 * rate["sequences_per_second"])
    assert rate["of_ceiling"] == pytest.approx(rate["tokens_per_second"] / rate["ceiling_tokens_per_second"])
    assert rate["packing"] == pytest.approx(90 / default_budget("fp32", CPU))
    assert rate["peak_gigabytes"] is None
    assert len(rate["rounds"]) == 1
    assert results["machine"]["torch"] == torch.__version__
    machine, header, row = output.splitlines()
    assert f"torch {torch.__version__}" in machine
    assert header.startswith("ENCODER  PRECISION  WORKLOAD")
    assert row.split()[:3] == ["esm2-8m", "fp32", "9"]
    assert row.split()[7] == f"{rate['of_ceiling']:.3f}"


def test_a_preset_takes_the_rounds_and_seconds_that_it_is_given(tmp_path: Path) -> None:
    results, _ = bench(tmp_path, "--preset", "10", "--rounds", "3", "--seconds", "0.2")
    (rate,) = results["rates"]
    assert len(rate["rounds"]) == 3
    assert rate["measured_seconds"] >= 0.6


def test_fp32_is_not_measured_as_tf32(tmp_path: Path) -> None:
    torch.set_float32_matmul_precision("high")  # as by an environment variable
    try:
        bench(tmp_path, "--preset", "10")
        assert torch.get_float32_matmul_precision() == "highest"
    finally:
        torch.set_float32_matmul_precision("highest")


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


def test_of_fp16_and_fp8_an_encoder_is_measured_in_what_it_has() -> None:
    assert precisions_of("esm2-8m", ["fp16", "fp8"]) == ["fp16", "fp8"]
    assert precisions_of("dnabert-s", ["fp16", "fp8"]) == ["fp16"]


def test_weights_are_those_that_fair_esm_begins_with() -> None:
    """As to their spread: the sequence of random numbers is another one."""
    esm = pytest.importorskip("esm.model.esm2")
    torch.manual_seed(0)
    theirs = esm.ESM2(6, 320, 20)
    ours = make_encoder("esm2-8m", CPU)
    assert isinstance(ours, Esm2)
    before, block = esm2_blocks(ours)[2:4]
    layer = theirs.layers[3]
    pairs = [
        (ours.embedding.weight / 0.88, theirs.embed_tokens.weight),
        (block.attention.qkv.weight[640:], layer.self_attn.v_proj.weight),
        (block.attention.qkv.bias, layer.self_attn.v_proj.bias),
        (block.attention.out.weight, layer.self_attn.out_proj.weight),
        (block.feed_forward.up.weight, layer.fc1.weight),
        (block.feed_forward.up.bias, layer.fc1.bias),
        (block.feed_forward.down.weight, layer.fc2.weight),
        (block.feed_forward_norm.carried_bias - before.feed_forward_norm.carried_bias, layer.fc2.bias),
    ]
    for mine, reference in pairs:
        assert float(mine.detach().std()) == pytest.approx(float(reference.detach().std()), rel=0.1)
    products = sum(p.numel() for name, p in theirs.layers.named_parameters() if p.dim() == 2)
    assert flop_a_token(ours) == 2 * products


def test_batches_hold_the_requested_sequences() -> None:
    batches = make_batches(Workload.parse("5-40"), 100, 256, 33, CPU)
    lengths = np.concatenate([batch.lengths for batch in batches.batches])
    assert len(lengths) == batches.sequences == 100
    assert (lengths.min(), lengths.max()) == (5, 40)
    assert batches.tokens == lengths.sum()
    assert all(batch.lengths.sum() <= 256 for batch in batches.batches)


def test_a_sweep_names_the_fastest_budget(tmp_path: Path) -> None:
    options = ("--sweep-budget", "--token-budget", "64", "--rounds", "1", "--seconds", "0", "--workload", "5-40")
    results, output = bench(tmp_path, *options)
    rates: dict[int, list[float]] = {}
    for rate in results["rates"]:
        rates.setdefault(rate["token_budget"], []).append(rate["tokens_per_second"])
    assert len(rates) == 6
    assert all(len(of_budget) == 2 for of_budget in rates.values())
    best = max(rates, key=lambda budget: sum(rates[budget]))
    assert f"best token budget of esm2-8m in fp32: {best:,} " in output


@pytest.mark.parametrize(
    ("now", "worse", "line"),
    [
        ({}, False, "esm2-3b fp16 168 budget 33792: tokens/s 105,000, before 105,000 (+0.0%)"),
        ({"tokens_per_second": 101e3}, False, "tokens/s 101,000, before 105,000 (-3.8%)"),
        ({"tokens_per_second": 210e3}, False, "tokens/s 210,000, before 105,000 (+100.0%)"),
        ({"tokens_per_second": 98e3}, True, "tokens/s 98,000, before 105,000 (-6.7%), WORSE"),
        ({"reserved_gigabytes": 14.0}, True, "reserved GB 14, before 7 (+100.0%), WORSE"),
        ({"reserved_gigabytes": 3.5}, False, "reserved GB 3.5, before 7 (-50.0%)"),
    ],
)
def test_figures_are_compared_with_those_of_an_earlier_run(
    tmp_path: Path, now: dict[str, Any], worse: bool, line: str
) -> None:
    old = tmp_path / "old.json"
    old.write_text(json.dumps({"rates": [asdict(RATE)]}))
    lines, found_worse = compare([replace(RATE, **now)], read_rates(old), old)
    assert found_worse == worse
    assert lines[0] == f"2 of 2 figures of {old} were measured again:"
    assert any(line in each for each in lines), lines
    assert sum("WORSE" in each for each in lines) == worse


@pytest.mark.parametrize(("factor", "exit_code"), [(0.001, 0), (1000.0, 1)], ids=["faster", "slower"])
def test_the_exit_code_says_what_the_comparison_found(tmp_path: Path, factor: float, exit_code: int) -> None:
    results, _ = bench(tmp_path, "--preset", "10")
    results["rates"][0]["tokens_per_second"] *= factor
    old = tmp_path / "old.json"
    old.write_text(json.dumps(results))
    options = ["bench", "--device", "cpu", "--preset", "10", "--compare", str(old)]
    result = CliRunner().invoke(app, [*options, "--workload", "9"])
    assert result.exit_code == exit_code
    assert f"1 of 1 figures of {old} were measured again" in result.output
    result = CliRunner().invoke(app, [*options, "--workload", "12"])
    assert isinstance(result.exception, UsageError)
    assert "nothing to compare" in str(result.exception)


@pytest.mark.parametrize(
    "content", ["# A page", "[]", "{}", '{"rates": []}', '{"rates": [{}]}', '{"rates": [{"tokens_per_second": 1}]}']
)
def test_what_is_no_benchmark_is_refused_at_once(tmp_path: Path, content: str) -> None:
    old = tmp_path / "old"
    old.write_text(content)
    result = CliRunner().invoke(app, ["bench", "--device", "cpu", "--preset", "10", "--compare", str(old)])
    assert "esm2" not in result.output
    assert isinstance(result.exception, UsageError)
    assert "not the JSON of a benchmark" in str(result.exception)
