"""The engine on a GPU: the CPU's vectors, fixed shapes, resuming, real lack of memory, 16-bit overflow, the lease."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import tiny
from tests.helpers.engine_runs import embed, proteins_by, provenance, read, stop_after, with_outliers
from tests.helpers.pool_files import write_pool
from virnucpro_kernels.cli.main import app
from virnucpro_kernels.embed.cache import EmbeddingCache
from virnucpro_kernels.embed.encoders import loading, set_up
from virnucpro_kernels.embed.engine import Encoder, Engine
from virnucpro_kernels.embed.gpu import list_gpus, visible_units
from virnucpro_kernels.embed.gpu_monitor import GpuMonitor
from virnucpro_kernels.embed.lease import Lease, lease
from virnucpro_kernels.embed.measures import Measures
from virnucpro_kernels.errors import DamagedFileError, GpuMemoryError, StoppedError
from virnucpro_kernels.models.tokenizers import DnaTokenizer
from virnucpro_kernels.pool.chunk_fasta import Frames
from virnucpro_kernels.pool.embedding_file import verify
from virnucpro_kernels.pool.job_record import read_job
from virnucpro_kernels.pool.provenance import encoder_record
from virnucpro_kernels.sequences.arrays import SequenceArray

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")]

GPU = torch.device("cuda", 0)
PRECISIONS = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float16, 1e-2)], ids=["fp32", "fp16"]
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> DnaTokenizer:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tiny.write_tokenizer(path)
    return DnaTokenizer(path)


def both(tokenizer: DnaTokenizer, device: torch.device, dtype: torch.dtype) -> tuple[Encoder, Encoder]:
    nucleotide, protein = (encoder.to(device, dtype) for encoder in (tiny.nucleotide_encoder(), tiny.protein_encoder()))
    return Encoder("nucleotide", nucleotide, tokenizer.encode), proteins_by(protein)


@PRECISIONS
def test_vectors_are_those_of_the_cpu(
    tmp_path: Path, tokenizer: DnaTokenizer, dtype: torch.dtype, tolerance: float
) -> None:
    frames = tiny.frames(600, distinct=500)
    embed(tmp_path / "cpu", frames, *both(tokenizer, torch.device("cpu"), torch.float32))
    engine = Engine(GPU, torch.float32)
    measures = embed(tmp_path / "gpu", frames, *both(tokenizer, GPU, dtype), engine=engine, budget=2048)
    for name in ("n.h5", "p.h5"):
        (rows, vectors), (expected_rows, expected) = read(tmp_path / "gpu" / name), read(tmp_path / "cpu" / name)
        np.testing.assert_array_equal(rows, expected_rows)
        np.testing.assert_allclose(vectors, expected, atol=tolerance)
    assert measures["protein"].padded_tokens == 2048 * measures["protein"].batches
    assert measures["protein"].recomputed == 0
    assert 0 < measures["protein"].device_seconds < measures["protein"].seconds


@PRECISIONS
def test_a_vector_does_not_depend_on_its_batch_mates(tmp_path: Path, dtype: torch.dtype, tolerance: float) -> None:
    frames, encoder = tiny.frames(900, distinct=900), proteins_by(tiny.protein_encoder().to(GPU, dtype))
    order = np.random.default_rng(0).permutation(len(frames))
    shuffled = replace(frames, proteins=SequenceArray.from_list([frames.proteins[i] for i in order]))
    for folder, content in (("a", frames), ("b", shuffled), ("c", frames)):
        embed(tmp_path / folder, content, encoder, engine=Engine(GPU, torch.float32), budget=1024)
    (_, a), (_, b) = read(tmp_path / "a" / "p.h5"), read(tmp_path / "b" / "p.h5")
    np.testing.assert_array_equal(a[order], b)
    assert (tmp_path / "a" / "p.h5").read_bytes() == (tmp_path / "c" / "p.h5").read_bytes()


@PRECISIONS
def test_vectors_from_a_cache_change_no_byte(tmp_path: Path, dtype: torch.dtype, tolerance: float) -> None:
    encoder = proteins_by(tiny.protein_encoder().to(GPU, dtype))
    first, second = tiny.frames(600, distinct=500), tiny.frames(900, distinct=900)
    shared = [*list(first.proteins)[:400], *list(second.proteins)[400:]]
    second = replace(second, proteins=SequenceArray.from_list(shared))
    cache = EmbeddingCache(tmp_path / "cache", 10**9)
    cache.check()

    def embed_with_cache(folder: Path, frames: Frames) -> Measures:
        vectors = cache.part(encoder_record(provenance(1024)["protein"], "protein"), torch.float32, GPU)
        engine = Engine(GPU, torch.float32, find_known=lambda _, distinct: vectors.find(distinct))
        measures = embed(folder, frames, encoder, engine=engine, budget=1024)["protein"]
        vectors.keep(folder / "p.h5")
        return measures

    assert embed_with_cache(tmp_path / "first", first).cached == 0
    assert embed_with_cache(tmp_path / "second", second).cached > 300
    embed(tmp_path / "alone", second, encoder, engine=Engine(GPU, torch.float32), budget=1024)
    assert (tmp_path / "second" / "p.h5").read_bytes() == (tmp_path / "alone" / "p.h5").read_bytes()


def test_a_stopped_chunk_ends_with_the_same_bytes(tmp_path: Path, tokenizer: DnaTokenizer) -> None:
    frames, encoders = tiny.frames(900, distinct=800), both(tokenizer, GPU, torch.float16)
    embed(tmp_path / "whole", frames, *encoders, engine=Engine(GPU, torch.float16), budget=512)
    for batches in (3, 10, 40, 60):
        engine = Engine(GPU, torch.float16, stopped=stop_after(batches))
        with pytest.raises(StoppedError):
            embed(tmp_path / "partial", frames, *encoders, engine=engine, budget=512)
    measures = embed(tmp_path / "partial", frames, *encoders, engine=Engine(GPU, torch.float16), budget=512)
    assert measures["nucleotide"].resumed > 0
    for name in ("n.h5", "p.h5"):
        assert (tmp_path / "partial" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.fixture
def two_gigabytes() -> Iterator[None]:
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(2e9 / torch.cuda.get_device_properties(GPU).total_memory, GPU)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0, GPU)
    torch.cuda.empty_cache()


def test_where_memory_runs_out_the_budget_is_halved(tmp_path: Path, two_gigabytes: None) -> None:
    frames, encoder = tiny.frames(300, distinct=300), proteins_by(tiny.protein_encoder().to(GPU))
    embed(tmp_path / "small", frames, encoder, engine=Engine(GPU, torch.float32), budget=4096)
    large = 1 << 23
    measures = embed(tmp_path / "large", frames, encoder, engine=Engine(GPU, torch.float32), budget=large)["protein"]
    assert measures.out_of_memory >= 1
    assert measures.token_budget == large >> measures.out_of_memory
    recorded = verify(tmp_path / "large" / "p.h5").protein
    assert recorded is not None
    assert recorded.token_budget == measures.token_budget
    np.testing.assert_allclose(
        read(tmp_path / "large" / "p.h5")[1], read(tmp_path / "small" / "p.h5")[1], atol=1e-4
    )  # fmt: skip


def test_a_single_sequence_that_does_not_fit_is_an_error(tmp_path: Path, two_gigabytes: None) -> None:
    frames = tiny.frames(2, distinct=2)
    giant = SequenceArray.from_list([b"M" * (1 << 23), b"MK"])
    with pytest.raises(GpuMemoryError, match="single protein sequence of 8,388,610 tokens"):
        embed(
            tmp_path, replace(frames, proteins=giant), proteins_by(tiny.protein_encoder().to(GPU)),
            engine=Engine(GPU, torch.float32),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("precision", "cosine"),
    [
        ("fp32", 0.999999),
        ("fp16", 0.9999),
        ("bf16", 0.999),
        ("fp8-ff", 0.995),
        ("fp8+0", 0.98),
        ("reference", 0.999999),
    ],
)
def test_every_precision_gives_nearly_the_same(tmp_path: Path, precision: str, cosine: float) -> None:
    if precision == "reference":
        pytest.importorskip("esm")
    frames, model = tiny.frames(300, distinct=300), tiny.write_model(tmp_path / "tiny-500")
    for folder, device, wanted in (("cpu", torch.device("cpu"), "fp32"), ("gpu", GPU, precision)):
        setup = set_up(
            model, device, precision=wanted, attention="auto", token_budget=2048, embedding_dtype="float32"
        )  # fmt: skip
        assert (setup.records["protein"].bias_correction is not None) == wanted.startswith("fp8")
        assert setup.records["nucleotide"].bias_correction is None
        with loading(setup) as weights:
            encoders = (make() for make in weights.makers.values())
            embed(tmp_path / folder, frames, *encoders, engine=Engine(device, setup.dtype))
    for name in ("n.h5", "p.h5"):
        vectors, expected = (torch.from_numpy(read(tmp_path / folder / name)[1]) for folder in ("gpu", "cpu"))
        assert torch.nn.functional.cosine_similarity(vectors, expected).min() > cosine


def test_weights_that_do_not_fit_are_an_error(tmp_path: Path) -> None:
    setup = set_up(
        tiny.write_model(tmp_path / "tiny-500"), GPU,
        precision="fp32", attention="auto", token_budget=0, embedding_dtype="auto",
    )  # fmt: skip
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.0, GPU)
    taken = []
    try:
        with suppress(torch.OutOfMemoryError):  # what other tests left free in memory that PyTorch holds
            while True:
                taken.append(torch.empty(512, dtype=torch.uint8, device=GPU))
        with pytest.raises(GpuMemoryError, match="the weights of model tiny-500 do not fit"), loading(setup) as weights:
            weights.makers["protein"]()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, GPU)


def test_what_overflows_in_fp16_is_computed_again_in_fp32(tmp_path: Path) -> None:
    frames = tiny.frames(300, distinct=300)
    embed(tmp_path / "32", frames, proteins_by(with_outliers(1e5)))
    half = with_outliers(1e5).to(GPU, torch.float16)
    engine = Engine(GPU, torch.float32)
    measures = embed(tmp_path / "16", frames, proteins_by(half), engine=engine, precision="fp16")["protein"]
    assert measures.recomputed == measures.batches > 5
    np.testing.assert_allclose(read(tmp_path / "16" / "p.h5")[1], read(tmp_path / "32" / "p.h5")[1], atol=5e-3)
    assert {weight.dtype for weight in half.parameters()} == {torch.float16}


def test_a_sequence_that_is_computed_again_changes_none_that_shares_its_batch(tmp_path: Path) -> None:
    frames, half = tiny.frames(600, distinct=600), proteins_by(with_outliers(3e4).to(GPU, torch.float16))
    order = np.random.default_rng(0).permutation(len(frames))
    shuffled = replace(frames, proteins=SequenceArray.from_list([frames.proteins[i] for i in order]))
    for folder, content in (("a", frames), ("b", shuffled)):
        engine = Engine(GPU, torch.float32)
        measures = embed(tmp_path / folder, content, half, engine=engine, budget=1024, precision="fp16")["protein"]
        assert measures.recomputed > 0
    np.testing.assert_array_equal(read(tmp_path / "a" / "p.h5")[1][order], read(tmp_path / "b" / "p.h5")[1])


def test_this_gpu_can_be_leased_and_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES", "0"))
    units = visible_units(list_gpus(), os.environ["CUDA_VISIBLE_DEVICES"])
    with lease([*units, "GPU-of-another-machine"], tmp_path) as held, GpuMonitor(held.unit, 0.05) as monitor:
        assert (held.unit, held.has_turn) == (units[0], True)
        end = time.monotonic() + 1  # the energy counter moves some times a second only
        while time.monotonic() < end:
            torch.randn(2048, 2048, device=GPU).square_().sum().item()
    summary = monitor.summary()
    assert summary["gpu_uuid"] == units[0]
    assert summary["gpu_memory_peak_bytes"] > 1 << 20
    assert summary["gpu_utilisation_percent"] > 0
    assert summary["gpu_temperature_max_celsius"] > 0
    assert summary["gpu_power_mean_watts"] > 0
    assert summary["gpu_energy_joules"] > 0


def test_the_command_takes_the_gpu_by_itself_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES", "0"))
    model = tiny.write_model(tmp_path / "tiny-500")
    manifest = write_pool(tmp_path / "pool", tiny.frames(200, distinct=200))
    app(
        ["embed", str(manifest), "--chunk", "00000", "--model", str(model.directory),
         "--nucleotide", str(tmp_path / "e" / "00000.nucleotide.h5"),
         "--protein", str(tmp_path / "e" / "00000.protein.h5")],
        standalone_mode=False,
    )  # fmt: skip
    record = read_job(tmp_path / "e" / "00000.embed.json")
    assert record["device"] == torch.cuda.get_device_name(GPU)
    assert (record["precision"], record["attention"]["protein"]) == ("fp16", "triton")
    assert record["gpu_allocated_peak_bytes"] <= record["gpu_reserved_peak_bytes"]
    assert record["gpu_memory_peak_bytes"] > 0
    run = verify(tmp_path / "e" / "00000.protein.h5").protein
    assert run is not None
    assert (run.precision, run.attention) == ("fp16", "triton")


#: Runs the command with leases in a folder of its own, apart from those of other tests and runs on this GPU.
WITH_LEASES_IN = """
import sys
from functools import partial
from pathlib import Path
from virnucpro_kernels.cli.main import main
from virnucpro_kernels.embed import turn
turn.lease = partial(turn.lease, directory=Path(sys.argv.pop(1)))
main()
"""


def start_beside_another_job(tmp_path: Path, held: Lease) -> tuple[subprocess.Popen[bytes], Path]:
    """Start the command while this process has the GPU; return when it has loaded its encoders and waits."""
    model = tiny.write_model(tmp_path / "tiny-500")
    manifest, output, log = (
        write_pool(tmp_path / "pool", tiny.frames(200, distinct=200)),
        tmp_path / "e",
        tmp_path / "log",
    )
    command = [
        sys.executable, "-P", "-c", WITH_LEASES_IN, str(tmp_path / "leases"),
        "embed", str(manifest), "--chunk", "00000", "--model", str(model.directory),
        "--nucleotide", str(output / "00000.nucleotide.h5"), "--protein", str(output / "00000.protein.h5"),
    ]  # fmt: skip
    with log.open("w") as file:
        process = subprocess.Popen(command, stderr=file)
    assert held.admit_next(0)
    while "another job computes" not in log.read_text():
        assert process.poll() is None, log.read_text()
        time.sleep(0.02)
    return process, output


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lease]:
    """This process's lease on the GPU."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES", "0"))
    units = visible_units(list_gpus(), os.environ["CUDA_VISIBLE_DEVICES"])
    with lease(units[:1], tmp_path / "leases") as held:
        assert held.has_turn
        yield held


def test_a_job_gets_ready_while_another_computes(tmp_path: Path, held: Lease) -> None:
    process, output = start_beside_another_job(tmp_path, held)
    assert not list(output.glob("*.protein.h5"))
    held.release()
    assert process.wait(300) == 0
    record = read_job(output / "00000.embed.json")
    assert record["waited_seconds"] > 0
    assert record["gpu_energy_joules"] >= 0
    assert record["device"] == torch.cuda.get_device_name(GPU)


def test_a_job_that_waits_for_its_turn_can_be_stopped(tmp_path: Path, held: Lease) -> None:
    process, output = start_beside_another_job(tmp_path, held)
    process.send_signal(signal.SIGTERM)
    assert process.wait(300) == 128 + signal.SIGTERM
    record = read_job(output / "00000.embed.json")
    assert (record["state"], record["exit_code"]) == ("failed", 128 + signal.SIGTERM)
    assert "stopped while another job had the GPU" in record["error"]


def test_a_job_that_fails_leaves_what_the_gpu_did_on_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES", "0"))
    model = tiny.write_model(tmp_path / "tiny-500")
    manifest = write_pool(tmp_path / "pool", tiny.frames(5, distinct=5))
    weights = model.directory / "protein.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    words = ["embed", str(manifest), "--chunk", "00000", "--model", str(model.directory)]
    for alphabet in ("nucleotide", "protein"):
        words += [f"--{alphabet}", str(tmp_path / "e" / f"00000.{alphabet}.h5")]
    with pytest.raises(DamagedFileError):
        app(words, standalone_mode=False)
    record = read_job(tmp_path / "e" / "00000.embed.json")
    assert (record["state"], record["exit_code"]) == ("failed", 3)
    assert record["device"] == record["gpu"] == torch.cuda.get_device_name(GPU)
