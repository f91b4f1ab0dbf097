"""The embed stage: one chunk of a pool, both encoders, on a GPU of its own or on the CPU.

Around the engine: the chunk's files checked against the manifest, a GPU leased before torch is imported, progress kept
and shown, and what it came to put on record.
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
from virnucpro_kernels.pool.chunk_fasta import check_fasta
from virnucpro_kernels.pool.job_record import Job
from virnucpro_kernels.pool.manifest import Chunk, read_manifest
from virnucpro_kernels.weights.registry import Model

if TYPE_CHECKING:
    from virnucpro_kernels.pool.provenance import Kind

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What to embed, and how; see the options of the command.

    Attributes:
        manifest: of the pool; the chunk's files lie in `chunks/` beside it.
        chunk: name of the chunk.
        model: whose encoders.
        nucleotide, protein: the files to write, in one folder.
        device: `auto`, `cpu` or `cuda`.
        precision, embedding_dtype, attention, token_budget: see `encoders.set_up`.
        threads: CPU threads.
    """

    manifest: Path
    chunk: str
    model: Model
    nucleotide: Path
    protein: Path
    device: str = "auto"
    precision: str = "auto"
    embedding_dtype: str = "auto"
    attention: str = "auto"
    token_budget: int = 0
    threads: int = 1


def embed(request: Request) -> None:
    """Write both embedding files of a chunk.

    Raises:
        DamagedFileError: the chunk's files are not those that the manifest describes; the manifest is then removed, so
            that the next start splits the pool again. Or the model is damaged, or for other windows.
        GpuMemoryError: a single sequence does not fit.
        StoppedError: SIGTERM or SIGINT came; what was finished is kept, and the same call goes on from there.
        UsageError: what was asked for cannot run here, or there is no such chunk.
    """
    with Job(request.protein.with_name(f"{request.chunk}.embed.json"), "embed") as job:
        chunk = _find_chunk(request.manifest, request.chunk)
        request.model.check_window_length(int(chunk.geometry.partition("-")[0]), str(request.manifest))
        job.facts["rows"] = chunk.rows
        progress = _Progress(job, chunk, request.model)
        with _device(request.device) as unit:
            job.facts["device"] = "cuda" if unit else "cpu"
            if unit:
                monitor = GpuMonitor(unit)
                try:
                    with monitor:
                        _embed(request, chunk, "cuda", job, progress)
                finally:
                    job.facts |= monitor.summary()
                job.facts["device"] = job.facts["gpu"] or "cuda"
            else:
                _embed(request, chunk, "cpu", job, progress)


def _find_chunk(manifest: Path, name: str) -> Chunk:
    if not manifest.exists():
        raise DamagedFileError(f"{manifest}: no such manifest; start the run again, and this pool is split anew")
    chunks = {chunk.chunk: chunk for chunk in read_manifest(manifest)}
    if name not in chunks:
        raise UsageError(f"{manifest}: has no chunk {name!r}; choose from {', '.join(chunks) or 'none: it is empty'}")
    return chunks[name]


@contextmanager
def _device(wanted: str) -> Iterator[str]:
    """Hold a GPU during the block and yield its UUID; yield nothing for the CPU."""
    if wanted not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device {wanted!r}: choose from auto, cpu, cuda")
    gpus = [] if wanted == "cpu" else gpu.list_gpus()
    units = gpu.visible_units(gpus, os.environ.get("CUDA_VISIBLE_DEVICES")) if gpus else []
    if wanted == "cpu" or (wanted == "auto" and not units):
        yield ""
    else:
        with gpu.lease(units) as unit:
            yield unit


def _embed(request: Request, chunk: Chunk, device_type: str, job: Job, progress: "_Progress") -> None:
    """Everything that needs torch, which must not be imported before the lease."""
    import torch

    from virnucpro_kernels.embed.encoders import loading, set_up
    from virnucpro_kernels.embed.engine import Engine
    from virnucpro_kernels.embed.resume import open_parts
    from virnucpro_kernels.ops.prepare import prepare
    from virnucpro_kernels.pool.chunk_fasta import read_frames
    from virnucpro_kernels.pool.provenance import Provenance

    if device_type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"PyTorch {torch.__version__} cannot use the GPU; install a build for CUDA, or --device cpu")
    torch.set_num_threads(request.threads)
    device = torch.device(device_type)
    prepare(device)
    setup = set_up(
        request.model,
        device,
        precision=request.precision,
        attention=request.attention,
        token_budget=request.token_budget,
        embedding_dtype=request.embedding_dtype,
    )
    kernels = {kind: run.kernel for kind, run in setup.runs.items()}
    job.facts |= {"precision": setup.precision, "attention": kernels, "threads": request.threads}
    log.info("chunk %s: %d frames on %s in %s, attention %s", chunk.chunk, chunk.rows, device, setup.precision, kernels)
    outputs: dict[Kind, Path] = {"nucleotide": request.nucleotide, "protein": request.protein}
    started = time.perf_counter()
    fasta = check_fasta(request.manifest, chunk)
    base = Provenance(
        request.manifest.absolute().parent.name,
        chunk.chunk,
        chunk.geometry,
        chunk.nucleotide_sha256,
        chunk.protein_sha256,
    )
    with (
        open_parts(request.protein.with_name(f"{chunk.chunk}.parts")) as parts,
        loading(setup) as weights,
        StopRequest() as stop,
    ):
        remove_leftovers(*outputs.values())  # under the lock of the parts
        frames = read_frames(*fasta)
        job.facts["read_seconds"] = round(time.perf_counter() - started, 3)
        engine = Engine(device, setup.dtype, progress=progress.report, stopped=stop.stopped)
        try:
            measures = engine.embed_chunk(
                frames,
                weights.makers,
                {
                    "nucleotide": replace(base, nucleotide=setup.runs["nucleotide"]),
                    "protein": replace(base, protein=setup.runs["protein"]),
                },
                outputs,
                parts,
            )
        except StoppedError as error:
            error.exit_code = 128 + stop.number
            raise
    job.facts["load_seconds"] = _rounded(weights.seconds)
    job.facts |= {kind: _rounded(asdict(measured)) for kind, measured in measures.items()}
    job.facts |= _peak_memory(device_type)
    for kind, measured in measures.items():
        log.info("%s: %s", kind, measured.describe())


class _Progress:
    """Progress of a job over both encoders, whose time goes with tokens times parameters."""

    def __init__(self, job: Job, chunk: Chunk, model: Model) -> None:
        self._job, self._rows = job, chunk.rows
        nucleotide = chunk.nucleotide_tokens * model.nucleotide.bytes
        protein = chunk.protein_tokens * model.protein.bytes
        fraction = nucleotide / (nucleotide + protein)
        self._interval = {"nucleotide": (0.0, fraction), "protein": (fraction, 1 - fraction)}
        self._resumed_at: dict[str, int] = {}

    def report(self, kind: "Kind", done: int, total: int) -> None:
        """Note that `done` of `total` distinct sequences of a kind are done; the first call tells where they began."""
        before, length = self._interval[kind]
        if done > self._resumed_at.setdefault(kind, done):
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
