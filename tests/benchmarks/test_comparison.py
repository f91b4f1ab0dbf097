"""`--compare` of the benchmarks notices what became worse, and says what there was not to compare."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks import encoders
from benchmarks.comparison import compare, read_figures
from benchmarks.layer import Layer, Part
from benchmarks.results import ChunkRate, Results, SampleRate
from virnucpro_kernels.bench.results import Rate
from virnucpro_kernels.errors import UsageError

CHUNK = ChunkRate(
    encoder="esm2-3b",
    precision="fp16",
    frames=200_000,
    residues=50,
    seconds=100.0,
    protein_tokens=10_000_000,
    nucleotide_tokens=7_000_000,
    tokens_per_second=100_000.0,
    protein_alone_tokens_per_second=107_000.0,
    nucleotide_alone_tokens_per_second=2_000_000.0,
    of_engine=0.97,
    device_fraction=0.98,
    nucleotide_fraction=0.05,
    packing=0.99,
    start_seconds=6.0,
    load_seconds=2.0,
    peak_gigabytes=6.8,
    reserved_gigabytes=7.0,
)
SAMPLE = SampleRate("esm2-3b", "fp16", 2, 1_000_000, 260.0, 3.0, 212.0, 2, 800_000, 41_000_000, 190_000.0, 98.0, 2.8e5)


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
PARTS = [Part("attention", 0.44, 0.7, 0.0), Part("up, GELU inside", 2.8, 0.9, 1.8)]
LAYER = Layer("esm2-3b", "fp16", "168", 33_792, 4.25e12, 6e14, PARTS, {})


def everything(*, chunk: ChunkRate = CHUNK, sample: SampleRate = SAMPLE, rate: Rate = RATE) -> Results:
    return Results({}, "", rates=[rate], layers=[LAYER], chunks=[chunk], samples=[sample])


def written(path: Path) -> Path:
    everything().write(path)
    return path


@pytest.mark.parametrize(
    ("results", "worse"),
    [
        (everything(), []),
        (
            everything(
                chunk=replace(CHUNK, tokens_per_second=95_100.0, start_seconds=6.2),
                sample=replace(SAMPLE, seconds=270.0, embed_seconds=220.0),
                rate=replace(RATE, reserved_gigabytes=7.3),
            ),
            [],
        ),
        (
            everything(
                chunk=replace(CHUNK, tokens_per_second=200_000.0, start_seconds=3.0, reserved_gigabytes=3.0),
                sample=replace(SAMPLE, seconds=130.0, embed_seconds=100.0),
            ),
            [],
        ),
        (everything(chunk=replace(CHUNK, tokens_per_second=94e3)), ["94,000 tokens/s, 6.0% less than 100,000"]),
        (everything(chunk=replace(CHUNK, start_seconds=6.6)), ["start seconds 6.6, 10.0% more than 6"]),
        (everything(chunk=replace(CHUNK, reserved_gigabytes=14.0)), ["reserved GB 14, 100.0% more than 7"]),
        (everything(sample=replace(SAMPLE, seconds=286.0)), ["seconds 286, 10.0% more than 260"]),
        (everything(sample=replace(SAMPLE, embed_seconds=318.0)), ["embedding seconds 318, 50.0% more than 212"]),
        (everything(rate=replace(RATE, reserved_gigabytes=14.0)), ["reserved GB 14, 100.0% more than 7"]),
        (
            replace(everything(), layers=[replace(LAYER, parts=[replace(PARTS[0], milliseconds=0.66), PARTS[1]])]),
            ["attention, ms 0.66, 50.0% more than 0.44"],
        ),
    ],
    ids=[
        *("same", "within 5 %", "better", "chunk", "start", "chunk's memory"),
        *("sample", "embedding", "memory", "part of a layer"),
    ],
)
def test_every_figure_is_compared(tmp_path: Path, results: Results, worse: list[str]) -> None:
    old = written(tmp_path / "old.json")
    found = compare(results, read_figures(old), old)
    assert (found.compared, found.earlier, found.missing, found.short) == (9, 9, [], [])
    assert [line.split(": ")[1] for line in found.worse] == worse


def test_what_was_not_measured_again_is_listed(tmp_path: Path) -> None:
    old = written(tmp_path / "old.json")
    now = Results({}, "", rates=[replace(RATE, reserved_gigabytes=None)], layers=[replace(LAYER, parts=PARTS[:1])])
    found = compare(now, read_figures(old), old)
    assert found.lines(old) == [
        f"2 of 9 earlier figures ({old}) were measured again: 0 are over 5% worse",
        "not measured again: esm2-3b fp16 168 budget 33792: reserved GB",
        "not measured again: layer of esm2-3b fp16 168 budget 33792: up, GELU inside, ms",
        "not measured again: chunk 200000x50 esm2-3b fp16",
        "not measured again: sample of 1000000 reads esm2-3b fp16 on 2 GPUs",
    ]


@pytest.mark.parametrize("seconds", [(0.2, 50.0), (50.0, 0.2)], ids=["before", "now"])
def test_what_was_measured_for_too_short_is_said(tmp_path: Path, seconds: tuple[float, float]) -> None:
    old = tmp_path / "old.json"
    before, now = (everything(rate=replace(RATE, measured_seconds=each)) for each in seconds)
    before.write(old)
    *_, said = compare(now, read_figures(old), old).lines(old)
    assert said.startswith("measured for less than a second")
    assert said.endswith(": esm2-3b fp16 168 budget 33792")


@pytest.mark.parametrize("other", [{"precision": "fp8"}, {"frames": 1}, {"residues": 166}, {"encoder": "esm2-15b"}])
def test_another_chunk_is_not_compared(tmp_path: Path, other: dict[str, Any]) -> None:
    old = written(tmp_path / "old.json")
    chunk = replace(CHUNK, **other, tokens_per_second=1.0)
    found = compare(everything(chunk=chunk), read_figures(old), old)
    assert (found.worse, found.compared, found.earlier) == ([], 6, 9)
    assert found.missing == ["chunk 200000x50 esm2-3b fp16"]


def test_files_of_older_versions_are_read(tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    chunk = {name: value for name, value in asdict(CHUNK).items() if name != "start_seconds"}
    old.write_text(json.dumps({"schema": 1, "rates": [], "chunks": [chunk]}))
    found = compare(everything(), read_figures(old), old)
    assert (found.worse, found.missing, found.compared, found.earlier) == ([], [], 2, 2)


def test_nothing_in_common_is_an_error(tmp_path: Path) -> None:
    old = written(tmp_path / "old.json")
    with pytest.raises(UsageError) as error:
        compare(Results({}, "", samples=[replace(SAMPLE, gpus=1)]), read_figures(old), old)
    for row in ("chunk 200000x50 esm2-3b fp16", "1000000 reads esm2-3b fp16 on 2 GPUs", "fp16 on 1 GPUs"):
        assert row in str(error.value)


@pytest.mark.parametrize(("factor", "exit_code"), [(0.001, 0), (1000.0, 1)], ids=["faster", "slower"])
def test_the_exit_code_says_so(tmp_path: Path, factor: float, exit_code: int) -> None:
    old, now = tmp_path / "old.json", tmp_path / "now.json"
    options = ["--device", "cpu", "--preset", "10", "--workload", "9", "--no-layers", "--no-reference"]
    options += ["--json", str(now)]
    assert CliRunner().invoke(encoders.app, options).exit_code == 0
    results = json.loads(now.read_text())
    results["rates"][0]["tokens_per_second"] *= factor
    old.write_text(json.dumps(results))
    result = CliRunner().invoke(encoders.app, [*options, "--compare", str(old)])
    assert result.exit_code == exit_code
    assert f"1 of 1 earlier figures ({old}) were measured again: {exit_code} are over 5% worse" in result.output
    assert "measured for less than a second" in result.output
    result = CliRunner().invoke(
        encoders.app, [*options, "--workload", "12", "--encoder", "esm2-35m", "--compare", str(old)]
    )
    assert isinstance(result.exception, UsageError)
    assert json.loads(now.read_text())["rates"][0]["encoder"] == "esm2-35m"


@pytest.mark.parametrize(
    "content", ["# A page", "[]", "{}", '{"rates": [{}]}', '{"rates": [{"tokens_per_second": 1}]}']
)
def test_what_is_no_benchmark_is_refused_at_once(tmp_path: Path, content: str) -> None:
    old = tmp_path / "old"
    old.write_text(content)
    result = CliRunner().invoke(encoders.app, ["--device", "cpu", "--preset", "10", "--compare", str(old)])
    assert "esm2" not in result.output
    assert isinstance(result.exception, UsageError)
    assert "not the JSON of a benchmark" in str(result.exception)
