"""The embed stage: one chunk of a pool, both encoders, on a GPU of its own or on the CPU.

Around the engine, this checks the chunk's files against the manifest, leases a GPU before torch is imported, keeps and
shows progress, and records measurements.
"""

import logging
import os
import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from virnucpro_kernels.embed import gpu
from virnucpro_kernels.embed.gpu_monitor import GpuMonitor
from virnucpro_kernels.embed.stopping import StopRequest
from virnucpro_kernels.errors import DamagedFileError, StoppedError, UsageError
from virnucpro_kernels.files import remove_leftovers
from virnucpro_kernels.models.precisions import choose_device
from virnucpro_kernels.pool.chunk_fasta import check_fasta
from virnucpro_kernels.pool.file_names import record_name
from virnucpro_kernels.pool.job_record import Job
from virnucpro_kernels.pool.manifest import Chunk, read_manifest
from virnucpro_kernels.pool.provenance import Alphabet, Provenance
from virnucpro_kernels.weights.registry import Model

if TYPE_CHECKING:
    import torch

    from virnucpro_kernels.embed.encoders import Setup

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EmbedOptions:
    """Options of the command `embed`.

    Attributes:
        manifest: Manifest of the pool; the chunk's files lie in `chunks/` beside it.
        chunk: Name of the chunk.
        model: Model that has the encoders.
        nucleotide: File to write for the nucleotide encoder.
        protein: File to write for the protein encoder, in the same folder.
        device: `auto`, `cpu` or `cuda`.
        precision, embedding_dtype, attention, token_budget: Settings as `encoders.set_up` takes them.
        threads: Number of CPU threads.
    """

    manifest: Path
    chunk: str
    model: Model
    nucleotide: Path
    protein: Path
    device: str
    precision: str
    embedding_dtype: str
    attention: str
    token_budget: int
    threads: int


def embed(options: EmbedOptions) -> None:
    """Write both embedding files of a chunk.

    Raises:
        DamagedFileError: the chunk's files are not those that the manifest describes; the manifest is then removed, so
            that the next start splits the pool again. Or the model is damaged, or for other windows.
        GpuMemoryError: a single sequence does not fit.
        StoppedError: SIGTERM or SIGINT came; finished vectors are kept, and the same call goes on from there.
        UsageError: the options cannot run here, or there is no such chunk.
    """
    with Job(options.protein.with_name(record_name("embed", options.chunk)), "embed") as job:
        chunk = _find_chunk(options.manifest, options.chunk)
        options.model.check_window_length(int(chunk.geometry.partition("-")[0]), str(options.manifest))
        job.facts["rows"] = chunk.rows
        progress = _Progress(job, chunk, options.model)
        with _device(options.device) as unit:
            job.facts["device"] = "cuda" if unit else "cpu"
            if unit:
                monitor = GpuMonitor(unit)
                try:
                    with monitor:
                        _embed(options, chunk, "cuda", job, progress)
                finally:
                    job.facts |= monitor.summary()
                job.facts["device"] = job.facts["gpu"] or "cuda"
            else:
                _embed(options, chunk, "cpu", job, progress)


def _find_chunk(manifest: Path, name: str) -> Chunk:
    if not manifest.exists():
        raise DamagedFileError(f"{manifest}: no such manifest; start the run again, and this pool is split anew")
    chunks = {chunk.chunk: chunk for chunk in read_manifest(manifest)}
    if name not in chunks:
        which = f"choose from {', '.join(chunks)}" if chunks else "it lists none, as no input has an open frame"
        raise UsageError(f"{manifest}: has no chunk {name!r}; {which}")
    return chunks[name]


@contextmanager
def _device(wanted: str) -> Iterator[str]:
    """Hold a GPU during the block and yield its UUID; yield nothing for the CPU."""
    gpus = [] if wanted == "cpu" else gpu.list_gpus()
    units = gpu.visible_units(gpus, os.environ.get("CUDA_VISIBLE_DEVICES")) if gpus else []
    if choose_device(wanted, gpu_available=bool(units)) == "cpu":
        yield ""
    else:
        with gpu.lease(units) as unit:
            yield unit


def _embed(options: EmbedOptions, chunk: Chunk, device_type: str, job: Job, progress: "_Progress") -> None:
    """Do everything that needs torch, which must not be imported before the lease."""
    from virnucpro_kernels.embed.encoders import loading, set_up
    from virnucpro_kernels.embed.engine import Engine
    from virnucpro_kernels.embed.resume import open_partial
    from virnucpro_kernels.pool.chunk_fasta import read_frames

    device = _start_torch(device_type, options.threads)
    setup = set_up(
        options.model,
        device,
        precision=options.precision,
        attention=options.attention,
        token_budget=options.token_budget,
        embedding_dtype=options.embedding_dtype,
    )
    attention = {alphabet: record.attention for alphabet, record in setup.records.items()}
    job.facts |= {"precision": setup.precision, "attention": attention, "threads": options.threads}
    log.info(
        "chunk %s: %d frames on %s in %s, attention %s", chunk.chunk, chunk.rows, device, setup.precision, attention
    )
    outputs: dict[Alphabet, Path] = {"nucleotide": options.nucleotide, "protein": options.protein}
    started = time.perf_counter()
    fasta = check_fasta(options.manifest, chunk)
    with (
        open_partial(options.protein.with_name(f"{chunk.chunk}.partial")) as partial,
        loading(setup) as weights,
        StopRequest() as stop,
    ):
        remove_leftovers(*outputs.values())  # now that the lock of the partial files is held
        frames = read_frames(*fasta)
        job.facts["read_seconds"] = round(time.perf_counter() - started, 3)
        engine = Engine(device, setup.dtype, progress=progress.report, stopped=stop.stopped)
        provenance = _provenance(options.manifest, chunk, setup)
        try:
            measures = engine.embed_chunk(frames, weights.makers, provenance, outputs, partial)
        except StoppedError as error:
            error.exit_code = 128 + stop.number
            raise
    job.facts["load_seconds"] = _rounded(weights.seconds)
    job.facts |= {alphabet: _rounded(asdict(measured)) for alphabet, measured in measures.items()}
    job.facts |= _peak_memory(device_type)
    for alphabet, measured in measures.items():
        log.info("%s: %s", alphabet, measured.describe())


def _start_torch(device_type: str, threads: int) -> "torch.device":
    import torch

    from virnucpro_kernels.ops.prepare import prepare

    if device_type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"PyTorch {torch.__version__} cannot use the GPU; install a build for CUDA, or --device cpu")
    torch.set_num_threads(threads)
    os.environ["RAYON_NUM_THREADS"] = str(threads)  # of the tokenizer, which counts them once, when it first works
    device = torch.device(device_type)
    prepare(device)
    return device


def _provenance(manifest: Path, chunk: Chunk, setup: "Setup") -> dict[Alphabet, Provenance]:
    """Return the attributes of both files, with the token budget to begin with."""
    pool = manifest.absolute().parent.name
    base = Provenance(pool, chunk.chunk, chunk.geometry, chunk.nucleotide_sha256, chunk.protein_sha256)
    nucleotide, protein = setup.records["nucleotide"], setup.records["protein"]
    return {"nucleotide": replace(base, nucleotide=nucleotide), "protein": replace(base, protein=protein)}


class _Progress:
    """Progress of a job over both encoders, whose time goes with tokens times parameters."""

    def __init__(self, job: Job, chunk: Chunk, model: Model) -> None:
        self._job, self._rows = job, chunk.rows
        nucleotide = chunk.nucleotide_tokens * model.nucleotide.bytes
        protein = chunk.protein_tokens * model.protein.bytes
        fraction = nucleotide / (nucleotide + protein)
        self._interval = {"nucleotide": (0.0, fraction), "protein": (fraction, 1 - fraction)}
        self._resumed_at: dict[str, int] = {}

    def report(self, alphabet: Alphabet, done: int, total: int) -> None:
        """Note that `done` of `total` distinct sequences are done; the first call of an alphabet tells its start."""
        before, length = self._interval[alphabet]
        if done > self._resumed_at.setdefault(alphabet, done):
            self._job.facts.setdefault("first_batch", datetime.now(UTC).isoformat(timespec="milliseconds"))
        self._job.progress(int((before + length * done / total) * self._rows), self._rows)


def _peak_memory(device_type: str) -> dict[str, int]:
    host = {"memory_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    if device_type != "cuda":
        return host
    import torch

    return host | {
        "gpu_allocated_peak_bytes": torch.cuda.max_memory_allocated(),
        "gpu_reserved_peak_bytes": torch.cuda.max_memory_reserved(),
    }


def _rounded(values: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in values.items()}
