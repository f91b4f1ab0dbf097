"""Taking over a run of the original: its vectors bit for bit, in the right rows, or a clear refusal."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from tests.helpers import tiny
from tests.helpers.original_run import write_original
from tests.helpers.stages import run
from virnucpro_kernels.errors import DamagedFileError, UsageError
from virnucpro_kernels.files import sha256
from virnucpro_kernels.models.classifier import Classifier, ClassifierConfig
from virnucpro_kernels.pool.chunk_fasta import read_frames
from virnucpro_kernels.pool.embedding_file import EmbeddingReader, verify
from virnucpro_kernels.pool.manifest import read_manifest
from virnucpro_kernels.pool.provenance import UNRECORDED
from virnucpro_kernels.run.config import complete_config, read_config
from virnucpro_kernels.run.samples import read_sheet
from virnucpro_kernels.tools.import_original import find_runs, import_run
from virnucpro_kernels.weights.directory import tensors_of
from virnucpro_kernels.weights.registry import ClassifierInfo, EncoderInfo, FileInfo, Model, read_model, write_model


def files_of(directory: Path) -> Callable[..., Any]:
    """Make facts of a file of a model; it is written empty unless it is there."""

    def facts(kind: type[FileInfo], file: str, **more: Any) -> Any:
        path = directory / file
        path.touch()
        return kind(file, sha256(path), path.stat().st_size, "a test", "", **more)

    return facts


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model of the released one's shapes whose encoders are never loaded, so that they need no weights."""
    directory = tmp_path_factory.mktemp("models") / "wide-500"
    directory.mkdir()
    head = Classifier(ClassifierConfig(768 + 2560))
    tiny.random_weights(head)
    assert head.norm.running_var is not None
    head.norm.running_var.abs_().add_(0.1)
    save_file(tensors_of(head, torch.float32), directory / "classifier.safetensors")
    facts = files_of(directory)
    sizes = {"layers": 1, "heads": 1, "feed_forward": 1, "vocabulary": 33}
    dnabert = {"name": "dnabert-s", "architecture": "dnabert", "hidden": 768} | sizes
    esm2 = {"name": "esm2-3b", "architecture": "esm2", "hidden": 2560} | sizes
    write_model(
        Model(
            "wide-500", 500, "original", "trial", "a test", "MIT", "", directory,
            nucleotide=facts(EncoderInfo, "n.safetensors", **dnabert),
            tokenizer=facts(FileInfo, "tokenizer.json"),
            protein=facts(EncoderInfo, "p.safetensors", **esm2),
            classifier=facts(ClassifierInfo, "classifier.safetensors", dimension=3328, hidden=512),
        )
    )  # fmt: skip
    return read_model(directory)


@pytest.mark.parametrize("name", ["test_fixed_500bp", "test_with_orfs"])
def test_the_original_s_merge_is_reproduced_bit_for_bit(golden: Path, tmp_path: Path, model: Model, name: str) -> None:
    run("import", golden, "--output-dir", tmp_path, "--model", model.directory)
    pool = tmp_path / "work" / "500-original" / name
    folder = pool / model.encoders_id("original")
    run("merge", folder / "00000.nucleotide.h5", folder / "00000.protein.h5", "--output", folder / "00000.features.h5")
    expected = torch.load(golden / f"{name}_merged" / "output_1_merged.pt", weights_only=True)
    frames = read_frames(pool / "chunks" / "00000.fna", pool / "chunks" / "00000.faa")
    with EmbeddingReader(folder / "00000.features.h5") as reader:
        np.testing.assert_array_equal(reader.rows, frames.rows)
        ours = dict(zip(frames.ids, reader.read(0, len(reader)), strict=True))
        provenance = reader.provenance
    assert ours.keys() == set(expected["ids"])
    for name_, vector in zip(expected["ids"], expected["data"], strict=True):
        assert ours[name_].tobytes() == vector.numpy().tobytes()
    assert provenance.protein is not None
    assert (provenance.protein.precision, provenance.protein.sha256) == ("original", UNRECORDED)

    scores = folder / model.model_id / "00000.parquet"
    run("classify", folder / "00000.features.h5", "--model", model.directory, "--output", scores)
    assert pq.read_metadata(scores).num_rows == len(frames)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny.write_model(tmp_path_factory.mktemp("models") / "tiny-300", window_length=300)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    return write_original(tmp_path_factory.mktemp("original") / "run", tiny.random_dna(40, (30, 90), 5))


def test_each_vector_finds_its_row(finished: tuple[Path, dict[str, Any]], small: Model, tmp_path: Path) -> None:
    folder, vectors = finished
    run("import", folder, "--output-dir", tmp_path, "--model", small.directory)
    pool = tmp_path / "work" / "300-original" / "reads"
    (chunk,) = read_manifest(pool / "chunks.tsv")
    assert chunk.rows == len(vectors) > 50
    frames = read_frames(pool / "chunks" / "00000.fna", pool / "chunks" / "00000.faa")
    for column, kind in enumerate(("nucleotide", "protein")):
        path = pool / small.encoders_id("original") / f"00000.{kind}.h5"
        verify(path)
        with EmbeddingReader(path) as reader:
            found = reader.read(0, len(reader))
            np.testing.assert_array_equal(reader.rows, frames.rows)
        np.testing.assert_array_equal(found, [vectors[name][column].astype(np.float32) for name in frames.ids])


def test_the_folder_is_a_run_that_goes_on(finished: tuple[Path, dict[str, Any]], small: Model, tmp_path: Path) -> None:
    folder, _ = finished
    run("import", folder, "--output-dir", tmp_path, "--model", small.directory)
    config = complete_config(read_config(tmp_path / "config" / "config.yaml"))
    assert (config["precision"], config["model"]) == ("original", str(small.directory))
    (sample,) = read_sheet(tmp_path / "config" / "samples.tsv")
    assert (sample.name, sample.input, sample.pool) == ("reads", folder / "reads.fasta", "reads")


def without_last(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    torch.save({key: values[:-1] for key, values in content.items()}, path)


def with_a_repeat(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    torch.save({key: [*values, values[0]] for key, values in content.items()}, path)


def with_a_stranger(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    content["proteins"][0] = "r999_chunk_1F1"
    torch.save(content, path)


def with_wide_vectors(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    content["data"] = [torch.zeros(33) for _ in content["data"]]
    torch.save(content, path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_last, "1 of .* frames have no vector, one of them r.*; let the original finish first"),
        (with_a_repeat, "r.* is in it twice"),
        (with_a_stranger, "r999_chunk_1F1 is not a frame of the input"),
        (with_wide_vectors, "protein vectors of 33 values; the model takes protein vectors of 32"),
        (lambda path: shutil.copy(path, path.with_name("output_9_ESM.pt")), "is in an earlier file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "output_2_ESM.pt"),
        (lambda path: path.unlink(), "frames have no vector"),
    ],
)
def test_a_run_that_is_not_whole_is_refused(
    finished: tuple[Path, dict[str, Any]], small: Model, tmp_path: Path, spoil: Callable[[Path], Any], message: str
) -> None:
    folder = shutil.copytree(finished[0], tmp_path / "original")
    spoil(folder / "reads_protein" / "output_2_ESM.pt")
    (found,) = find_runs(folder, {})
    with pytest.raises(DamagedFileError, match=message):
        import_run(found, tmp_path / "out", small, 1, print)
    assert not list((tmp_path / "out").rglob("*.protein.h5"))


@pytest.mark.parametrize("suffix", ["_identified_protein.faa", "_identified_nucleotide.fa"])
def test_another_input_is_noticed(
    finished: tuple[Path, dict[str, Any]], small: Model, tmp_path: Path, suffix: str
) -> None:
    folder = shutil.copytree(finished[0], tmp_path / "original")
    path = folder / f"reads{suffix}"
    lines = path.read_text().splitlines(keepends=True)
    lines[9] = lines[9].replace("A", "C")
    path.write_text("".join(lines))
    (found,) = find_runs(folder, {})
    with pytest.raises(DamagedFileError, match="has another sequence than in the input"):
        import_run(found, tmp_path / "out", small, 1, print)


def test_what_is_no_finished_run_is_refused(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run of the original"):
        find_runs(tmp_path, {})
    folder = shutil.copytree(finished[0], tmp_path / "original")
    with pytest.raises(UsageError, match="no run 'other'; there are reads"):
        find_runs(folder, {"other": tmp_path})
    moved = (folder / "reads.fasta").rename(tmp_path / "moved.fasta")
    with pytest.raises(UsageError, match="--input reads=FILE"):
        find_runs(folder, {})
    assert find_runs(folder, {"reads": moved})[0].input == moved
    (folder / "reads_chunked300.fa").unlink()
    with pytest.raises(UsageError, match="no files reads_chunked"):
        find_runs(folder, {"reads": moved})


def test_a_model_for_other_windows_is_refused(
    finished: tuple[Path, dict[str, Any]], small: Model, tmp_path: Path
) -> None:
    (found,) = find_runs(finished[0], {})
    with pytest.raises(DamagedFileError, match="windows of 300 bp, but model tiny-300 is for 500 bp"):
        import_run(found, tmp_path, replace(small, window_length=500), 1, print)
