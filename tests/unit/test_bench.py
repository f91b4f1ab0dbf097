"""The benchmark runs on a CPU, says what it measured, and notices what became slower."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from virnucpro_kernels.bench.encoders import Workload, flop_a_token, make_batches, make_encoder
from virnucpro_kernels.cli import app
from virnucpro_kernels.errors import UsageError

CPU = torch.device("cpu")


def bench(*options: str) -> int:
    result = CliRunner().invoke(app, ["bench", "--device", "cpu", "--workload", "9", *options])
    if isinstance(result.exception, UsageError):
        raise result.exception
    return result.exit_code


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    assert bench("--preset", "10", "--json", str(folder / "b.json"), "--markdown", str(folder / "b.md")) == 0
    return folder


def test_a_preset_measures_engine_and_ceiling(measured: Path) -> None:
    results = json.loads((measured / "b.json").read_text())
    (rate,) = results["rates"]
    assert (rate["encoder"], rate["precision"], rate["workload"]) == ("esm2-8m", "fp32", "9")
    assert rate["tokens_per_second"] == pytest.approx(9 * rate["sequences_per_second"])
    assert rate["of_ceiling"] == pytest.approx(rate["tokens_per_second"] / rate["ceiling_tokens_per_second"])
    assert results["machine"]["torch"] == torch.__version__
    table = (measured / "b.md").read_text()
    assert "| esm2-8m | fp32 | 9 |" in table


@pytest.mark.parametrize(("before", "exit_code"), [(0.5, 0), (10.0, 1)], ids=["faster", "slower"])
def test_compare_fails_where_something_got_slower(measured: Path, before: float, exit_code: int) -> None:
    results = json.loads((measured / "b.json").read_text())
    old = measured / f"old-{before}.json"
    results["rates"][0]["tokens_per_second"] *= before * 100 if before > 1 else before / 100
    old.write_text(json.dumps(results))
    assert bench("--preset", "10", "--compare", str(old)) == exit_code


def test_compare_refuses_what_is_no_benchmark(measured: Path) -> None:
    with pytest.raises(UsageError, match="not the JSON of a benchmark"):
        bench("--preset", "10", "--compare", str(measured / "b.md"))


def test_unknown_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match="choose from 10, 100, 1000, 10000"):
        bench("--preset", "11")
    with pytest.raises(UsageError, match="esm2-3b"):
        bench("--encoder", "esm3")


def test_a_sweep_names_the_fastest_budget(tmp_path: Path) -> None:
    options = [
        "--sweep-budget",
        "--rounds",
        "1",
        "--seconds",
        "0",
        "--workload",
        "5-40",
        "--json",
        str(tmp_path / "b.json"),
    ]
    result = CliRunner().invoke(app, ["bench", "--device", "cpu", "--workload", "9", *options])
    rates: dict[int, list[float]] = {}
    for rate in json.loads((tmp_path / "b.json").read_text())["rates"]:
        rates.setdefault(rate["token_budget"], []).append(rate["tokens_per_second"])
    assert len(rates) == 6
    assert all(len(of_budget) == 2 for of_budget in rates.values())
    best = max(rates, key=lambda budget: sum(rates[budget]))
    assert f"best token budget of esm2-8m in fp32: {best:,} " in result.output


def test_every_part_of_a_layer_is_timed_and_low_precision_compared(tmp_path: Path) -> None:
    options = ("--rounds", "1", "--seconds", "0", "--token-budget", "64", "--accuracy", "2", "--no-reference")
    assert bench(*options, "--precision", "fp32,bf16", "--json", str(tmp_path / "b.json")) == 0
    results = json.loads((tmp_path / "b.json").read_text())
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
    options = ("--chunk", "6x20", "--folder", str(tmp_path / "work"), "--threads", "1")
    assert bench(*options, "--json", str(tmp_path / "b.json"), "--markdown", str(tmp_path / "b.md")) == 0
    results = json.loads((tmp_path / "b.json").read_text())
    (chunk,) = results["chunks"]
    assert (chunk["encoder"], chunk["precision"], chunk["frames"], chunk["residues"]) == ("esm2-8m", "fp32", 6, 20)
    assert chunk["tokens_per_second"] == pytest.approx(6 * 22 / chunk["seconds"])
    assert 0 < chunk["of_engine"] < 1
    assert 0 < chunk["nucleotide_share"] < 1
    assert chunk["start_seconds"] > chunk["load_seconds"]
    assert "| esm2-8m | fp32 | 6 | 20 |" in (tmp_path / "b.md").read_text()


def test_a_chunk_without_a_place_or_a_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--folder"):
        bench("--chunk", "40x20")
    with pytest.raises(UsageError, match="must be FRAMESxRESIDUES"):
        bench("--chunk", "40", "--folder", str(tmp_path))
