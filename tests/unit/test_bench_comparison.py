"""`virnucpro bench --compare` notices what became slower, and says when there is nothing to compare."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from virnucpro_kernels.bench.chunk import ChunkRate
from virnucpro_kernels.bench.comparison import compare, read_figures
from virnucpro_kernels.bench.results import Results
from virnucpro_kernels.bench.sample import SampleRate
from virnucpro_kernels.cli import app
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
    device_share=0.98,
    nucleotide_share=0.05,
    packing=0.99,
    start_seconds=6.0,
    load_seconds=2.0,
    peak_gigabytes=6.8,
    reserved_gigabytes=7.0,
)
SAMPLE = SampleRate("esm2-3b", "fp16", 2, 1_000_000, 260.0, 3.0, 212.0, 2, 800_000, 41_000_000, 190_000.0, 98.0, 2.8e5)


def written(path: Path, chunk: ChunkRate = CHUNK, sample: SampleRate = SAMPLE) -> Path:
    Results({}, "", chunks=[chunk], samples=[sample]).write(path)
    return path


@pytest.mark.parametrize(
    ("chunk", "sample", "slower"),
    [
        (CHUNK, SAMPLE, []),
        (replace(CHUNK, tokens_per_second=95_100.0, start_seconds=6.2), replace(SAMPLE, seconds=270.0), []),
        (replace(CHUNK, tokens_per_second=200_000.0, start_seconds=3.0), replace(SAMPLE, seconds=130.0), []),
        (replace(CHUNK, tokens_per_second=94_000.0), SAMPLE, ["tokens/s, 6.0% less than 100,000"]),
        (replace(CHUNK, start_seconds=6.6), SAMPLE, ["start seconds 6.6, 10.0% more than 6.0"]),
        (CHUNK, replace(SAMPLE, seconds=286.0), ["seconds 286.0, 10.0% more than 260.0"]),
    ],
    ids=["same", "within 5 %", "faster", "chunk", "start", "sample"],
)
def test_chunks_and_samples_are_compared(
    tmp_path: Path, chunk: ChunkRate, sample: SampleRate, slower: list[str]
) -> None:
    old = written(tmp_path / "old.json")
    lines, compared, figures = compare(Results({}, "", chunks=[chunk], samples=[sample]), read_figures(old), old)
    assert (compared, figures) == (3, 3)
    assert [line.split(": ")[1].removeprefix("94,000 ") for line in lines] == slower


@pytest.mark.parametrize("other", [{"precision": "fp8"}, {"frames": 1}, {"residues": 166}, {"encoder": "esm2-15b"}])
def test_another_chunk_is_not_compared(tmp_path: Path, other: dict[str, str | int]) -> None:
    old = written(tmp_path / "old.json")
    chunk = replace(CHUNK, **other, tokens_per_second=1.0)  # type: ignore[arg-type]
    assert compare(Results({}, "", chunks=[chunk], samples=[SAMPLE]), read_figures(old), old) == ([], 1, 3)


def test_files_of_older_versions_are_read(tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    chunk = {name: value for name, value in asdict(CHUNK).items() if name != "start_seconds"}
    old.write_text(json.dumps({"schema": 1, "rates": [], "chunks": [chunk]}))
    now = Results({}, "", chunks=[CHUNK], samples=[SAMPLE])
    assert compare(now, read_figures(old), old) == ([], 1, 3)


def test_nothing_in_common_is_an_error(tmp_path: Path) -> None:
    old = written(tmp_path / "old.json")
    with pytest.raises(UsageError) as error:
        compare(Results({}, "", samples=[replace(SAMPLE, gpus=1)]), read_figures(old), old)
    for row in ("chunk 200000x50 esm2-3b fp16", "1000000 reads esm2-3b fp16 on 2 GPUs", "fp16 on 1 GPUs"):
        assert row in str(error.value)


@pytest.mark.parametrize(("factor", "exit_code"), [(0.001, 0), (1000.0, 1)], ids=["faster", "slower"])
def test_the_exit_code_says_so(tmp_path: Path, factor: float, exit_code: int) -> None:
    old, now = tmp_path / "old.json", tmp_path / "now.json"
    options = ["bench", "--device", "cpu", "--preset", "10", "--workload", "9", "--json", str(now)]
    assert CliRunner().invoke(app, options).exit_code == 0
    results = json.loads(now.read_text())
    results["rates"][0]["tokens_per_second"] *= factor
    old.write_text(json.dumps(results))
    result = CliRunner().invoke(app, [*options, "--compare", str(old)])
    assert result.exit_code == exit_code
    assert f"compared 1 of 1 figures with {old}: {exit_code} slower" in result.output
    result = CliRunner().invoke(app, [*options, "--workload", "12", "--encoder", "esm2-35m", "--compare", str(old)])
    assert isinstance(result.exception, UsageError)
    assert json.loads(now.read_text())["rates"][0]["encoder"] == "esm2-35m"


@pytest.mark.parametrize(
    "content", ["# A page", "[]", "{}", '{"rates": [{}]}', '{"rates": [{"tokens_per_second": 1}]}']
)
def test_what_is_no_benchmark_is_refused_at_once(tmp_path: Path, content: str) -> None:
    old = tmp_path / "old"
    old.write_text(content)
    result = CliRunner().invoke(app, ["bench", "--device", "cpu", "--preset", "10", "--compare", str(old)])
    assert "esm2" not in result.output
    assert isinstance(result.exception, UsageError)
    assert "not the JSON of a benchmark" in str(result.exception)
