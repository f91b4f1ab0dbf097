"""The embed command: from a manifest to embedding files, here and in processes that are stopped or killed."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
import weakref
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers import tiny
from tests.helpers.pool_files import write_pool
from virnucpro_kernels.cli.main import app
from virnucpro_kernels.embed.encoders import loading, set_up
from virnucpro_kernels.embed.gpu import list_gpus
from virnucpro_kernels.errors import DamagedFileError, FaultyDeviceError, GpuMemoryError, UsageError, VirnucproError
from virnucpro_kernels.models.esm2 import Esm2
from virnucpro_kernels.models.tokenizers import tokenize_proteins
from virnucpro_kernels.ops.packing import pack
from virnucpro_kernels.pool.embedding_file import EmbeddingReader, verify
from virnucpro_kernels.pool.job_record import read_job
from virnucpro_kernels.weights.evidence import keep_canaries
from virnucpro_kernels.weights.load import load_protein_encoder
from virnucpro_kernels.weights.registry import Calibration, Model

FRAMES = 1500


def arguments(manifest: Path, model: Model, folder: str = "e", chunk: str = "00000", **options: Any) -> list[str]:
    output = manifest.parent / folder
    options = {"model": model.directory, "device": "cpu"} | options
    return [
        "embed", str(manifest), "--chunk", chunk,
        "--nucleotide", str(output / f"{chunk}.nucleotide.h5"), "--protein", str(output / f"{chunk}.protein.h5"),
        *(word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))),
    ]  # fmt: skip


def embed(*args: Any, **options: Any) -> Path:
    """Run the command here; return the folder of its files."""
    words = arguments(*args, **options)
    app(words, standalone_mode=False)
    return Path(words[words.index("--protein") + 1]).parent


def test_who_has_loaded_an_encoder_keeps_nothing_of_it(model: Model) -> None:
    """When its work is done, the next one needs the memory."""
    setup = set_up(
        model, torch.device("cpu"), precision="fp32", attention="auto", token_budget=0, embedding_dtype="float32"
    )
    with loading(setup) as weights:
        encoder = weights.makers["nucleotide"]()
        module = weakref.ref(encoder.module)
        assert module() is not None
        del encoder
        gc.collect()
        assert module() is None
        assert weights.makers["protein"]().alphabet == "protein"


@pytest.mark.parametrize("was_shared", [False, True])
def test_weights_that_did_not_fit_beside_another_job_s_are_loaded_again(
    model: Model, monkeypatch: pytest.MonkeyPatch, was_shared: bool
) -> None:
    """And: only then, and only once all is loaded may the next job load its own."""
    attempts, loaded = 0, []

    def load(*arguments: Any, **options: Any) -> Any:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return load_protein_encoder(*arguments, **options)

    monkeypatch.setattr("virnucpro_kernels.embed.encoders.load_protein_encoder", load)
    setup = set_up(
        model, torch.device("cpu"), precision="fp32", attention="auto", token_budget=0, embedding_dtype="float32"
    )
    with loading(setup, lambda: was_shared, lambda: loaded.append(attempts)) as weights:
        weights.makers["nucleotide"]()
        if was_shared:
            assert weights.makers["protein"]().alphabet == "protein"
        else:
            with pytest.raises(GpuMemoryError, match="do not fit"):
                weights.makers["protein"]()
    assert (attempts, loaded) == ((2, [2]) if was_shared else (1, []))


def test_a_chunk_becomes_two_files_and_a_record(tmp_path: Path, model: Model) -> None:
    frames = tiny.frames(80, distinct=60)
    folder = embed(write_pool(tmp_path / "mypool", frames), model)
    assert sorted(path.name for path in folder.iterdir()) == [
        "00000.embed.json",
        "00000.nucleotide.h5",
        "00000.protein.h5",
    ]
    with EmbeddingReader(folder / "00000.protein.h5") as reader:
        np.testing.assert_array_equal(reader.rows, frames.rows)
        vectors, provenance = reader.read(0, len(reader)), reader.provenance
    tokens = tokenize_proteins(frames.proteins)
    expected = load_protein_encoder(model, "cpu", torch.float32).embed(pack(tokens, slice(0, 80)))
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert (provenance.pool, provenance.chunk, provenance.geometry) == ("mypool", "00000", "500-original")
    run = provenance.protein
    assert run is not None
    assert (run.sha256, run.precision, run.attention) == (model.protein.sha256, "fp32", "sdpa")
    nucleotide = verify(folder / "00000.nucleotide.h5").nucleotide
    assert nucleotide is not None
    assert nucleotide.tokenizer_sha256 == model.tokenizer.sha256

    record = read_job(folder / "00000.embed.json")
    assert record["state"] == "complete"
    assert (record["done"], record["total"], record["device"]) == (80, 80, "cpu")
    assert record["protein"]["distinct"] == 60
    assert record["protein"]["tokens"] == sum(len(protein) + 2 for protein in set(frames.proteins))
    assert record["protein"]["tokens_per_second"] > 0
    assert 0 < record["protein"]["packing"] <= 1
    assert record["attention"] == {"nucleotide": "sdpa", "protein": "sdpa"}
    assert set(record["load_seconds"]) == {"nucleotide", "protein"}
    assert record["memory_peak_bytes"] > 1 << 20
    assert datetime.fromisoformat(record["first_batch"]) >= datetime.fromisoformat(record["started"])


def test_the_reference_gives_the_same_vectors(tmp_path: Path, model: Model) -> None:
    manifest = write_pool(tmp_path / "pool", tiny.frames(12, distinct=12))
    packed, reference = embed(manifest, model), embed(manifest, model, "r", precision="reference")
    for name, kernel in (("00000.nucleotide.h5", "dense"), ("00000.protein.h5", "fair-esm")):
        with EmbeddingReader(packed / name) as one, EmbeddingReader(reference / name) as other:
            np.testing.assert_allclose(one.read(0, 12), other.read(0, 12), atol=1e-5)
            run = other.provenance.nucleotide or other.provenance.protein
        assert run is not None
        assert (run.precision, run.attention) == ("reference", kernel)


def test_fp32_is_never_tf32(tmp_path: Path, model: Model) -> None:
    manifest = write_pool(tmp_path / "pool", tiny.frames(5, distinct=5))
    code = (
        "import sys; from virnucpro_kernels.cli.main import app; app(sys.argv[1:], standalone_mode=False);"
        "import torch; sys.exit(torch.backends.cuda.matmul.allow_tf32)"
    )
    command, environment = [sys.executable, "-c", code, *arguments(manifest, model)], dict(os.environ)
    environment["TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"] = "1"
    assert subprocess.run(command, env=environment, check=False).returncode == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunk": "00005"}, "no chunk '00005'"),
        ({"device": "tpu"}, "device: .* is not one of"),
        ({"precision": "fp4"}, "choose auto, fp32"),
        ({"attention": "flash"}, "cannot run here"),
        ({"attention": "sdpa,flash"}, "cannot run here"),
        ({"attention": "sdpa,sdpa,sdpa"}, "one backend, or two"),
        ({"precision": "reference", "attention": "sdpa"}, "attention of its own"),
        ({"embedding_dtype": "float64"}, "embedding_dtype: .* is not one of"),
        ({"precision": "fp8"}, "precision fp8 needs an NVIDIA GPU"),
        ({"precision": "fp8-ff+1"}, "precision fp8-ff needs an NVIDIA GPU"),
        ({"precision": "fp16+0"}, "precision: .*fp16.0"),
    ],
)
def test_what_cannot_run_is_refused(tmp_path: Path, model: Model, options: dict[str, str], message: str) -> None:
    manifest = write_pool(tmp_path / "pool", tiny.frames(5, distinct=5))
    with pytest.raises(UsageError, match=message):
        embed(manifest, model, **options)
    assert not list(tmp_path.rglob("*.h5"))


@pytest.mark.skipif(bool(list_gpus()), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_not_replaced_silently(tmp_path: Path, model: Model) -> None:
    with pytest.raises(UsageError, match="no NVIDIA GPU"):
        embed(write_pool(tmp_path / "pool", tiny.frames(5, distinct=5)), model, device="cuda")


def test_windows_of_another_length_than_the_model_s_are_refused(tmp_path: Path, model: Model) -> None:
    manifest = write_pool(tmp_path / "pool", tiny.frames(5, distinct=5), geometry="300-original")
    with pytest.raises(DamagedFileError, match="windows of 300 bp, but model tiny-500 is for 500 bp"):
        embed(manifest, model)
    assert manifest.exists()


def test_torch_is_not_there_before_a_gpu_is_leased() -> None:
    code = "import sys, virnucpro_kernels.cli, virnucpro_kernels.embed.embed; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def damage(path: Path) -> None:
    path.write_text(path.read_text().replace("A", "C", 1))


@pytest.mark.parametrize(("suffix", "spoil"), [(".fna", damage), (".faa", damage), (".faa", Path.unlink)])
def test_a_chunk_that_is_not_as_split_wrote_it_is_refused(
    tmp_path: Path, model: Model, suffix: str, spoil: Any
) -> None:
    manifest = write_pool(tmp_path / "pool", tiny.frames(5, distinct=5), tiny.frames(6, distinct=6))
    spoil(manifest.parent / "chunks" / f"00001{suffix}")
    embed(manifest, model)
    with pytest.raises(DamagedFileError, match="the next start splits this pool again"):
        embed(manifest, model, chunk="00001")
    embed(manifest, model)
    manifest.unlink()
    with pytest.raises(DamagedFileError, match="no such manifest"):
        embed(manifest, model)


def start(words: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start the command in a process of its own; return when one of the encoders has done its part."""
    command = [sys.executable, "-P", "-m", "virnucpro_kernels", *words]
    with log.open("w") as file:
        process = subprocess.Popen(command, stderr=file, env=os.environ | {"OMP_NUM_THREADS": "1"})
    partial = Path(words[words.index("--protein") + 1]).with_name("00000.partial")
    while not (partial / "nucleotide-000000000.h5").exists():
        assert process.poll() is None, log.read_text()
        time.sleep(0.02)
    return process


@pytest.fixture(scope="module")
def slow_pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool of one chunk that takes a second or more."""
    frames = tiny.frames(FRAMES, distinct=FRAMES, lengths=(150, 170))
    return write_pool(tmp_path_factory.mktemp("slow") / "pool", frames)


@pytest.fixture(scope="module")
def whole(slow_pool: Path, model: Model) -> Path:
    return embed(slow_pool, model, "whole")


def assert_same_files(one: Path, other: Path) -> None:
    for name in ("00000.nucleotide.h5", "00000.protein.h5"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    assert not (other / "00000.partial").exists()


def test_a_terminated_job_keeps_what_it_has_and_goes_on(slow_pool: Path, whole: Path, model: Model) -> None:
    folder, log = slow_pool.parent / "terminated", slow_pool.parent / "terminated.log"
    process = start(arguments(slow_pool, model, "terminated"), log)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143
    assert "the same command goes on from there" in log.read_text()
    assert read_job(folder / "00000.embed.json")["exit_code"] == 143
    assert not (folder / "00000.protein.h5").exists()
    embed(slow_pool, model, "terminated")
    record = read_job(folder / "00000.embed.json")
    assert record["attempts"] == 2
    assert record["nucleotide"]["resumed"] == FRAMES
    assert_same_files(whole, folder)


def test_a_killed_job_leaves_nothing_that_is_in_the_way(slow_pool: Path, whole: Path, model: Model) -> None:
    folder = slow_pool.parent / "killed"
    process = start(arguments(slow_pool, model, "killed"), slow_pool.parent / "killed.log")
    process.kill()
    process.wait()
    assert not (folder / "00000.protein.h5").exists()
    embed(slow_pool, model, "killed")
    assert read_job(folder / "00000.embed.json")["nucleotide"]["resumed"] == FRAMES
    assert_same_files(whole, folder)
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_an_error_of_the_device_is_told_with_its_name(
    slow_pool: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nCompile with …")

    monkeypatch.setattr(Esm2, "embed", fail)  # no CPU fails like this
    with pytest.raises(VirnucproError, match=r"the CPU of .* failed: CUDA error: an illegal memory access .*; start"):
        embed(slow_pool, model, "failed")
    assert read_job(slow_pool.parent / "failed" / "00000.embed.json")["state"] == "failed"


def test_a_job_says_what_was_checked_and_compares_canaries_with_kept_ones(tmp_path: Path) -> None:
    checked = tiny.write_model(tmp_path / "checked")
    manifest = write_pool(tmp_path / "pool", tiny.frames(60, distinct=60))
    app(["weights", "verify", str(checked.directory), "--canaries", "--threads", "1"], standalone_mode=False)
    folder = embed(manifest, checked, paranoid=2, token_budget=256)
    job = read_job(folder / "00000.embed.json")
    assert job is not None
    assert (job["protein"]["canaries"], job["protein"]["computed_twice"]) == (1, 2)

    kept = checked.directory / "canaries.json"
    values = {
        alphabet: np.array(json.loads(kept.read_text())[alphabet], np.float32) for alphabet in ("nucleotide", "protein")
    }
    values["protein"][0] = values["protein"][1]
    keep_canaries(checked, values)
    calibrated = replace(checked, calibration=Calibration(0.2, -1.0, 0.0, 0.0, 1.0, 0.0, 0.0, "some contigs"))
    for model, name in ((checked, "faulty"), (calibrated, "faulty and calibrated")):
        with pytest.raises(
            FaultyDeviceError, match=r"the CPU of .* computes wrong numbers: the canaries of the protein"
        ):
            embed(manifest, model, folder=name)
        assert not list((manifest.parent / name).rglob("*.h5"))
    kept.write_text(kept.read_text()[:-9])
    with pytest.raises(DamagedFileError, match=r"canaries\.json: damaged"):
        embed(manifest, checked, folder="unreadable")
