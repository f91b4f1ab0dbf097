"""Classifying: scores as the network gives them, whatever the neighbours, and only for features made for the model."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import torch

from tests.helpers import tiny
from virnucpro_kernels.cli.main import app
from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.pool.embedding_file import EmbeddingWriter
from virnucpro_kernels.pool.job_record import read_job
from virnucpro_kernels.pool.provenance import UNRECORDED, EncoderRecord, Provenance
from virnucpro_kernels.score.classify import classify, logits, softmax
from virnucpro_kernels.weights.load import load_classifier
from virnucpro_kernels.weights.registry import Model

COUNT = 2500
DIMENSION = tiny.NUCLEOTIDE_DIMENSION + tiny.PROTEIN_DIMENSION


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny.write_model(tmp_path_factory.mktemp("models") / "tiny-500")


def test_a_job_loads_no_triton() -> None:
    code = "import sys, virnucpro_kernels.score.classify; sys.exit('triton' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def provenance(model: Model) -> Provenance:
    nucleotide, protein = model.nucleotide, model.protein
    return Provenance(
        "pool",
        "00007",
        "500-original",
        model.encoders_id("fp32"),
        "aa" * 32,
        "bb" * 32,
        EncoderRecord(
            nucleotide.name, nucleotide.sha256, nucleotide.dimension, "fp32", "sdpa", 512, model.tokenizer.sha256
        ),
        EncoderRecord(protein.name, protein.sha256, protein.dimension, "fp32", "sdpa", 512),
    )


def features(dtype: str = "float32", dimension: int = DIMENSION) -> npt.NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(COUNT, dimension)).astype(dtype)


def write(path: Path, provenance: Provenance, dtype: str = "float32") -> Path:
    with EmbeddingWriter(path, COUNT, dtype, provenance) as writer:
        writer.write(np.arange(COUNT) * 5, features(dtype, provenance.dimension))
    return path


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_scores_are_those_of_the_network(tmp_path: Path, model: Model, dtype: str) -> None:
    classify(write(tmp_path / "f.h5", provenance(model), dtype), model, tmp_path / "s.parquet")
    table = pq.read_table(tmp_path / "s.parquet")
    assert table.column_names == ["row", "logit", "p_other", "p_virus"]
    assert [str(column) for column in table.schema.types] == ["int64", "float", "float", "float"]
    np.testing.assert_array_equal(table["row"], np.arange(COUNT) * 5)
    both = load_classifier(model)(torch.from_numpy(features(dtype)).float())
    np.testing.assert_allclose(table["logit"], both[:, 1] - both[:, 0], atol=1e-5)
    np.testing.assert_allclose(table["p_other"], torch.softmax(both, dim=1)[:, 0], atol=1e-6)
    np.testing.assert_allclose(table["p_virus"], torch.softmax(both, dim=1)[:, 1], atol=1e-6)
    metadata = table.schema.metadata
    assert metadata[b"model_id"].decode() == model.model_id
    assert metadata[b"window_length"] == b"500"
    assert metadata[b"classifier_sha256"].decode() == model.classifier.sha256
    assert metadata[b"protein_sha256"].decode() == model.protein.sha256
    assert metadata[b"chunk"] == b"00007"


def test_a_score_that_is_not_finite_is_refused_with_the_check_of_its_model(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = replace(model, directory=(tmp_path / "our models" / "m"))
    shutil.copytree(model.directory, there.directory)
    monkeypatch.setattr("virnucpro_kernels.score.classify.logits", lambda _, x: np.full(len(x), np.nan, np.float32))
    with pytest.raises(DamagedFileError, match="row 0 is not finite") as caught:
        classify(write(tmp_path / "f.h5", provenance(model)), there, tmp_path / "s.parquet")
    assert str(caught.value).endswith(f"check the model with `virnucpro weights verify '{there.directory}'`")
    app(["weights", "verify", str(there.directory)], standalone_mode=False)


def test_the_softmax_of_the_difference_is_that_of_both_logits_bit_for_bit() -> None:
    both = torch.from_numpy(np.random.default_rng(0).normal(size=(100_000, 2)).astype(np.float32) * 9)
    np.testing.assert_array_equal(softmax((both[:, 1] - both[:, 0]).numpy()), torch.softmax(both, dim=1))


def test_a_score_does_not_depend_on_the_other_frames(model: Model) -> None:
    classifier, vectors = load_classifier(model), features()
    together = logits(classifier, vectors)
    order = np.random.default_rng(0).permutation(COUNT)
    np.testing.assert_array_equal(logits(classifier, vectors[order]), together[order])
    alone = np.concatenate([logits(classifier, vectors[i : i + 1]) for i in range(0, COUNT, 100)])
    np.testing.assert_array_equal(alone, together[::100])


def test_the_same_features_give_the_same_bytes(tmp_path: Path, model: Model) -> None:
    path = write(tmp_path / "f.h5", provenance(model))
    for name, threads in (("a", 1), ("b", 1), ("c", 3)):
        classify(path, model, tmp_path / f"{name}.parquet", threads=threads)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "c.parquet").read_bytes()


def changed(provenance: Provenance, what: str) -> Provenance:
    nucleotide, protein = provenance.nucleotide, provenance.protein
    assert nucleotide is not None
    assert protein is not None
    return {
        "window": replace(provenance, geometry="300-original"),
        "encoder": replace(provenance, protein=replace(protein, sha256="00" * 32)),
        "tokenizer": replace(provenance, nucleotide=replace(nucleotide, tokenizer_sha256="00" * 32)),
        "width": replace(provenance, protein=replace(protein, dimension=tiny.PROTEIN_DIMENSION + 1)),
        "one encoder": replace(provenance, nucleotide=None),
        "imported from another encoder": replace(provenance, protein=replace(protein, sha256=UNRECORDED, encoder="x")),
    }[what]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("window", "windows of 300 bp, but model tiny-500 is for 500 bp"),
        ("encoder", "vectors of tiny-esm2 .00000000., but model tiny-500 is for tiny-esm2"),
        ("tokenizer", "the tokenizer was not that of model"),
        ("width", "49 values a frame, but the classifier of model tiny-500 takes 48"),
        ("one encoder", "lacks the vectors of tiny-dnabert"),
        ("imported from another encoder", "vectors of x .unrecord.*, but model tiny-500 is for tiny-esm2"),
    ],
)
def test_features_that_the_model_was_not_made_for_are_refused(
    tmp_path: Path, model: Model, what: str, message: str
) -> None:
    path = write(tmp_path / "f.h5", changed(provenance(model), what))
    with pytest.raises(DamagedFileError, match=message):
        classify(path, model, tmp_path / "s.parquet")
    assert not (tmp_path / "s.parquet").exists()


def test_vectors_of_unrecorded_weights_are_taken_by_the_encoder_s_name(tmp_path: Path, model: Model) -> None:
    made = provenance(model)
    assert made.nucleotide is not None
    assert made.protein is not None
    made = replace(
        made,
        nucleotide=replace(made.nucleotide, sha256=UNRECORDED, tokenizer_sha256=UNRECORDED),
        protein=replace(made.protein, sha256=UNRECORDED),
    )
    classify(write(tmp_path / "f.h5", made), model, tmp_path / "s.parquet")
    assert pq.read_schema(tmp_path / "s.parquet").metadata[b"protein_sha256"] == b"unrecorded"


def test_features_of_another_precision_than_the_folder_names_are_refused(tmp_path: Path, model: Model) -> None:
    path = write(tmp_path / "f.h5", provenance(model))
    with pytest.raises(DamagedFileError, match=r"the vectors are of .*-fp32-.*, not of .*-fp16-"):
        classify(path, model, tmp_path / "s.parquet", model.encoders_id("fp16"))
    classify(path, model, tmp_path / "s.parquet", model.encoders_id("fp32"))


def test_the_command_takes_a_model_directory(tmp_path: Path, model: Model) -> None:
    path = write(tmp_path / "f.h5", provenance(model))
    output = tmp_path / "m" / "00007.parquet"
    app(["classify", str(path), "--model", str(model.directory), "--output", str(output)], standalone_mode=False)
    assert pq.read_metadata(output).num_rows == COUNT
    assert read_job(tmp_path / "m" / "00007.classify.json")["state"] == "complete"
