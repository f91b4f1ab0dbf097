"""The embed stage: one chunk of a pool, both encoders, on a GPU of its own or on the CPU.

Around the engine, this checks the chunk's files against the manifest, leases a GPU, keeps and shows progress, and
records measurements. All that needs no GPU is done before the lease. Where the GPU has memory for two jobs, all that
comes before the first batch is done before the job's turn (`turn.py`), so that a job which waits computes as soon as
the job before it has its last vector.
"""

import logging
import os
import resource
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from virnucpro_kernels.embed import gpu
from virnucpro_kernels.embed.known import Known
from virnucpro_kernels.embed.stopping import StopRequest, unbroken
from virnucpro_kernels.embed.turn import Turn, gpu_turn
from virnucpro_kernels.errors import DamagedFileError, StoppedError, UsageError, VirnucproError
from virnucpro_kernels.files import remove_leftovers
from virnucpro_kernels.models.precisions import choose_device, name_device
from virnucpro_kernels.pool.chunk_fasta import Frames, check_fasta, read_frames
from virnucpro_kernels.pool.file_names import record_name
from virnucpro_kernels.pool.geometry import Geometry
from virnucpro_kernels.pool.job_record import Job
from virnucpro_kernels.pool.manifest import Chunk, read_manifest
from virnucpro_kernels.pool.provenance import Alphabet, Provenance
from virnucpro_kernels.weights.registry import Model

if TYPE_CHECKING:
    import torch

    from virnucpro_kernels.embed.cache import CachedVectors
    from virnucpro_kernels.embed.encoders import Setup

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EmbedOptions:
    """Options of the command `embed`.

    Attributes:
        manifest: Manifest of the pool; the chunk's files lie in `chunks/` beside it.
        chunk: Name of the chunk.
        model: Model that has the encoders, with the window length of the classifier that the vectors are for.
        nucleotide: File to write for the nucleotide encoder.
        protein: File to write for the protein encoder, in the same folder.
        device: `auto`, `cpu` or `cuda`.
        precision, embedding_dtype, attention, token_budget: Settings as `encoders.set_up` takes them.
        threads: Number of CPU threads.
        twice: Number of batches of each encoder, chosen at random, to compute twice and compare.
        cache: Folder of the embedding cache, if there is one.
        cache_bytes: Size that it may have.
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
    twice: int = 0
    cache: Path | None = None
    cache_bytes: int = 0


def embed(options: EmbedOptions) -> None:
    """Write both embedding files of a chunk.

    Raises:
        DamagedFileError: the chunk's files are not those that the manifest describes, or there is none; or the model is
            damaged, or for other windows.
        FaultyDeviceError: the device holds or computes wrong numbers; nothing of the chunk is kept.
        GpuMemoryError: a single sequence does not fit.
        StoppedError: SIGTERM or SIGINT came; finished vectors are kept, and the same call goes on from there.
        UsageError: the options cannot run here, or there is no such chunk.
    """
    with Job(options.protein.with_name(record_name("embed", options.chunk)), "embed") as job:
        chunk = _find_chunk(options.manifest, options.chunk)
        options.model.check_window_length(Geometry.parse(chunk.geometry).window_length, str(options.manifest))
        job.facts["rows"] = chunk.rows
        progress = _Progress(job, chunk, options.model)
        gpus, units = _find_units(options.device)
        job.facts["device"] = "cpu" if units is None else "cuda"
        with unbroken():
            frames = _read_frames(options, chunk, job)
        if units is None:
            computed = _embed(options, chunk, frames, "cpu", name_device(None), job, progress, Turn())
        else:
            may_share = gpu.are_alike(gpus, units)
            with gpu_turn(units, job, _bytes_of_weights(options), may_share=may_share) as (unit, turn):
                computed = _embed(options, chunk, frames, "cuda", name_device(unit), job, progress, turn)
        with StopRequest():  # the chunk is complete: a signal must not make a failure of it
            for cached, path in computed:
                cached.keep(path)


def _find_chunk(manifest: Path, name: str) -> Chunk:
    if not manifest.exists():
        raise DamagedFileError(f"{manifest}: no such manifest; start the run again, and this pool is split anew")
    chunks = {chunk.chunk: chunk for chunk in read_manifest(manifest)}
    if name not in chunks:
        which = f"choose from {', '.join(chunks)}" if chunks else "it lists none, as no input has an open frame"
        raise UsageError(f"{manifest}: has no chunk {name!r}; {which}")
    return chunks[name]


def _find_units(wanted: str) -> tuple[list[gpu.Gpu], list[str] | None]:
    """Return all GPUs, and the UUIDs of those of which one will compute; None for the CPU."""
    gpus = [] if wanted == "cpu" else gpu.list_gpus()
    units = gpu.visible_units(gpus, os.environ.get("CUDA_VISIBLE_DEVICES")) if gpus else []
    return gpus, None if choose_device(wanted, gpu_available=bool(units)) == "cpu" else units


def _bytes_of_weights(options: EmbedOptions) -> int:
    """Return the bytes that both encoders take on a GPU, at most: ESM-2 is published in 16 bits."""
    files = options.model.nucleotide.bytes + options.model.protein.bytes
    return files * (2 if options.precision in ("fp32", "reference") else 1)


def _read_frames(options: EmbedOptions, chunk: Chunk, job: Job) -> Frames:
    """Return the checked frames of the chunk, with torch imported, which uses no GPU yet."""
    started = time.perf_counter()
    frames = read_frames(*check_fasta(options.manifest, chunk))
    job.facts["read_seconds"] = round(time.perf_counter() - started, 3)
    # Not in a thread beside the reading: what imports here and there can wait for each other for ever.
    import_module("virnucpro_kernels.embed.encoders")
    return frames


def _embed(
    options: EmbedOptions,
    chunk: Chunk,
    frames: Frames,
    device_type: str,
    device_name: str,
    job: Job,
    progress: "_Progress",
    turn: Turn,
) -> list[tuple["CachedVectors", Path]]:
    """Compute the vectors and write both files; `device_name` is for messages.

    Returns:
        What the embedding cache, if there is one, has to take from which file.
    """
    with unbroken():
        from torch import AcceleratorError

        from virnucpro_kernels.embed.cache import EmbeddingCache
        from virnucpro_kernels.embed.encoders import loading, set_up
        from virnucpro_kernels.embed.engine import Engine
        from virnucpro_kernels.embed.resume import open_partial

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
    cached: dict[Alphabet, CachedVectors] = {}
    if options.cache:
        cache = EmbeddingCache(options.cache, options.cache_bytes)
        cache.check()
        cached = {alphabet: cache.part(record, setup.dtype, device) for alphabet, record in setup.records.items()}

    def end() -> None:
        job.facts["device_until"] = datetime.now(UTC).isoformat(timespec="milliseconds")
        turn.end()

    with (
        open_partial(options.protein.with_name(f"{chunk.chunk}.partial")) as partial,
        StopRequest() as stop,
        loading(setup, lambda: turn.begin(stop.stopped), turn.loaded) as weights,
    ):
        remove_leftovers(*outputs.values())  # now that the lock of the partial files is held
        engine = Engine(
            device,
            setup.dtype,
            progress=progress.report,
            stopped=stop.stopped,
            name=device_name,
            twice=options.twice,
            find_known=lambda alphabet, distinct: cached[alphabet].find(distinct) if cached else Known(),
            begin=lambda: turn.begin(stop.stopped),
            end=end,
        )
        provenance = _provenance(options.manifest, chunk, setup)
        try:
            measures = engine.embed_chunk(frames, weights.makers, provenance, outputs, partial)
        except StoppedError as error:
            error.exit_code = 128 + stop.number
            raise
        except AcceleratorError as error:
            raise VirnucproError(
                f"{device_name} failed: {str(error).splitlines()[0]}; start again: the job goes on from what was saved."
                " If it fails again, use another GPU, and have this one examined"
            ) from error
    job.facts["load_seconds"] = _rounded(weights.seconds)
    job.facts |= {alphabet: _rounded(asdict(measured)) for alphabet, measured in measures.items()}
    job.facts |= _peak_memory(device_type)
    for alphabet, measured in measures.items():
        log.info("%s: %s", alphabet, measured.describe())
    # Where memory ran out, now or in an earlier attempt, some batches were smaller than the cache would have it.
    budgets = {alphabet: record.token_budget for alphabet, record in setup.records.items()}
    return [
        (vectors, outputs[alphabet])
        for alphabet, vectors in cached.items()
        if device_type == "cpu" or measures[alphabet].token_budget == budgets[alphabet]
    ]


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
    nucleotide, protein = setup.records["nucleotide"], setup.records["protein"]
    encoders = setup.model.encoders_id(protein.precision)
    base = Provenance(pool, chunk.chunk, chunk.geometry, encoders, chunk.nucleotide_sha256, chunk.protein_sha256)
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
