"""From FASTA to tables through every stage's command, with small encoders of the real classes."""

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers import tiny
from tests.helpers.stages import run, score_chunk
from virnucpro_kernels.files import sha256
from virnucpro_kernels.pool.manifest import read_manifest
from virnucpro_kernels.weights.registry import Model

# Between the scores that random weights give, so that both calls are made.
THRESHOLD = 0.045


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny.write_model(tmp_path_factory.mktemp("models") / "tiny-300", window_length=300)


def all_stages(directory: Path, model: Model, samples: dict[str, Path], *, min_chunks: int) -> None:
    pool = directory / "pool"
    inputs = [f"{name}={path}" for name, path in samples.items()]
    run("split", *inputs, "--window-length", 300, "--min-chunks", min_chunks, "--output-dir", pool)
    vectors = pool / model.encoders_id("fp32")
    scores = vectors / model.model_id
    for chunk in read_manifest(pool / "chunks.tsv"):
        score_chunk(
            *(pool / "chunks.tsv", chunk.chunk, model.directory, "--device", "cpu", "--precision", "fp32"),
            vectors=vectors,
            scores=scores / f"{chunk.chunk}.parquet",
        )
    for name, path in samples.items():
        tables = [pool / file for file in ("contigs.parquet", "windows.parquet", "chunks.tsv")]
        run(
            *("collect", "--contigs", tables[0], "--windows", tables[1], "--manifest", tables[2]),
            *("--scores-dir", scores, "--sample", name, "--model", model.directory, "--inputs", path),
            *("--output-dir", directory / "results" / name, "--viral-threshold", THRESHOLD),
        )


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("input")
    random = [sequence.decode() for sequence in tiny.random_dna(40, (20, 400), 3)]
    one = "".join(f">r{index} read {index}\n{sequence}\n" for index, sequence in enumerate(random))
    odd = f'>"a"b;c é\tx\n{random[0]}\n>empty\n>NA NA\n{"N" * 400}\n>short\nAC\n>stops\n{"TAGTTAACTAA" * 20}\n'
    (folder / "one.fa").write_text(one)
    (folder / "odd.fa.gz").write_bytes(gzip.compress(odd.encode()))
    (folder / "nothing.fa").write_text("")
    return {name: folder / file for name, file in (("one", "one.fa"), ("odd", "odd.fa.gz"), ("nothing", "nothing.fa"))}


def test_from_sequences_to_tables(tmp_path: Path, model: Model, samples: dict[str, Path]) -> None:
    all_stages(tmp_path, model, samples, min_chunks=5)
    assert len(read_manifest(tmp_path / "pool" / "chunks.tsv")) > 2
    odd = pd.read_csv(tmp_path / "results" / "odd" / "contigs.tsv", sep="\t", keep_default_na=False)
    assert odd["contig"].tolist() == ['"a"b;c', "empty", "NA", "short", "stops"]
    assert odd["status"].tolist()[1:] == ["empty", "no_codon", "too_short", "no_open_frame"]
    assert pd.read_csv(tmp_path / "results" / "nothing" / "contigs.tsv", sep="\t").empty

    results = tmp_path / "results" / "one"
    contigs = pd.read_csv(results / "contigs.tsv", sep="\t")
    assert contigs["contig"].tolist() == [f"r{index}" for index in range(40)]
    assert contigs["description"].tolist() == [f"read {index}" for index in range(40)]
    assert {"scored", "no_open_frame"} >= set(contigs["status"])
    assert set(contigs["call"]) == {"none", "host", "viral"}
    record = json.loads((results / "run.json").read_text())
    for name, stage in record["stages"].items():
        assert stage["jobs"] > 0, name
        assert stage["seconds"] > 0, name
    assert record["stages"]["embed"]["devices"], "the device is on record"
    assert record["parameters"]["scores"]["protein_precision"] == "fp32"
    viral = gzip.decompress((results / "viral.fna.gz").read_bytes()).decode()
    named = [line[1:].split()[0] for line in viral.splitlines() if line.startswith(">")]
    assert named == contigs["contig"][contigs["call"] == "viral"].tolist()

    # The original's files have the frames that the table of windows has, in the same order.
    windows = pd.read_csv(results / "windows.tsv", sep="\t").dropna(subset=["frames"])
    columns = (windows[name].astype(str) for name in ("contig", "window", "frames"))
    expected = [
        f"{contig}_chunk_{window}{frame}"
        for contig, window, frames in zip(*columns, strict=True)
        for frame in frames.split(",")
    ]
    assert pd.read_csv(results / "prediction_results.txt", sep="\t")["Sequence_ID"].tolist() == expected


def test_the_order_and_number_of_chunks_and_the_company_in_a_pool_change_no_call(
    tmp_path: Path, model: Model, samples: dict[str, Path]
) -> None:
    all_stages(tmp_path / "a", model, samples, min_chunks=5)
    all_stages(tmp_path / "b", model, {"one": samples["one"]}, min_chunks=1)
    for name in ("contigs.tsv", "windows.tsv", "prediction_results_highestscore.csv"):
        one, other = (pd.read_csv(tmp_path / run / "results" / "one" / name, sep="\t") for run in "ab")
        scores = one.select_dtypes(float).columns
        pd.testing.assert_frame_equal(one.drop(columns=scores), other.drop(columns=scores))
        np.testing.assert_allclose(one[scores], other[scores], atol=1e-5)


def test_the_same_work_gives_the_same_bytes(tmp_path: Path, model: Model, samples: dict[str, Path]) -> None:
    for name in ("a", "b"):
        all_stages(tmp_path / name, model, samples, min_chunks=2)
    made = {path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()}
    assert made == {path.relative_to(tmp_path / "b") for path in (tmp_path / "b").rglob("*") if path.is_file()}
    for path in made:
        if path.suffix != ".json":
            assert sha256(tmp_path / "a" / path) == sha256(tmp_path / "b" / path), path


def test_the_least_length_of_segments_is_a_part_of_the_geometry(tmp_path: Path, samples: dict[str, Path]) -> None:
    split = ("split", samples["one"], "--window-length", 300, "--layout", "segments")
    run(*split, "--output-dir", tmp_path / "30")
    run(*split, "--output-dir", tmp_path / "40", "--min-segment", 40)
    (default,), (longer,) = (read_manifest(tmp_path / name / "chunks.tsv") for name in ("30", "40"))
    assert (default.geometry, longer.geometry) == ("300-segments", "300-segments-40")
    assert 30 <= default.min_residues < 40 <= longer.min_residues
