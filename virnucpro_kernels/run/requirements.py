"""Memory, time and disk that each job requests, computed from its work.

The amounts are generous, because a job that requests too little is killed; the workflow multiplies them by the attempt.
Times are those of slow machines; `--set-resources` replaces them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from virnucpro_kernels.pool.manifest import Chunk
from virnucpro_kernels.run.pools import estimate_bases
from virnucpro_kernels.weights.registry import Model

_MB = 1_000_000
#: Multiply-adds a second: a fifth of the fp16 peak of a 24 GB card, and one core of an old CPU in fp32.
_GPU_RATE = 1e13
_CPU_RATE = 5e9
_PYTHON_MB = 600
_TORCH_MB = 2500
#: Vectors that `embed` keeps until it saves them (`MOST_UNSAVED_BYTES` of `embed.output`), a copy of which is written.
_UNSAVED_MB = 135


@dataclass(frozen=True)
class Requirements:
    """Resources of a job.

    Attributes:
        mem_mb: Host memory in MB.
        runtime: Time in minutes.
        disk_mb: Temporary disk space in MB.
    """

    mem_mb: int
    runtime: int
    disk_mb: int


def for_split(sequences: Iterable[str | Path]) -> Requirements:
    """Return what `split` needs: at most 32 bytes a record beyond a constant, and disk for each frame twice as text."""
    bases = sum(estimate_bases(Path(path)) for path in sequences)
    shortest_records = bases / 100
    return _rounded(_PYTHON_MB + 1400 + 40 * shortest_records / _MB, 10 + bases / 1e8, 100 + 8 * bases / _MB)


def for_embed(
    chunk: Chunk, model: Model, device: str, bytes_per_value: int, *, has_cache: bool = False
) -> Requirements:
    """Return what `embed` needs for both encoders on a chunk; with a cache, all vectors may come from it at once."""
    parameters = (model.nucleotide.bytes + model.protein.bytes) / 2
    tokens = chunk.protein_tokens + chunk.nucleotide_tokens
    seconds = parameters * tokens / (_GPU_RATE if device == "cuda" else _CPU_RATE)
    sequences = 12 * chunk.protein_tokens
    vectors_mb = _vectors_mb(chunk, model, bytes_per_value)
    unsaved_mb = min(vectors_mb, _UNSAVED_MB)
    return _rounded(
        embed_memory_mb(model, device) + sequences / _MB + 2 * (vectors_mb if has_cache else unsaved_mb),
        20 + seconds / 60,
        vectors_mb,
    )


def embed_memory_mb(model: Model, device: str) -> float:
    """Return the memory in MB that `embed` needs without the sequences of its chunk."""
    # A CPU computes with fp32 weights, twice their size on disk; to a GPU the weights only pass through host memory.
    copies = 1.2 if device == "cuda" else 2.5
    return _TORCH_MB + copies * (model.nucleotide.bytes + model.protein.bytes) / _MB


def for_merge(chunk: Chunk) -> Requirements:
    """Return what `merge` needs, which compares the rows of the two embedding files of a chunk and copies no vector."""
    rows_mb = 16 * chunk.rows / _MB
    return _rounded(_PYTHON_MB + 400 + rows_mb, 10, rows_mb)


def for_classify(chunk: Chunk, model: Model, bytes_per_value: int) -> Requirements:
    """Return what `classify` needs, which reads the features of a chunk block by block."""
    disk = _vectors_mb(chunk, model, bytes_per_value)
    return _rounded(_TORCH_MB + 40 * chunk.rows / _MB, 10 + disk / 500, 32 * chunk.rows / _MB)


def for_collect(chunks: Sequence[Chunk]) -> Requirements:
    """Return what `collect` needs, which streams: at most 70 bytes a record beyond a constant.

    Unlike other jobs it has only one attempt, so it requests three times the time that they would.
    """
    rows = sum(chunk.rows for chunk in chunks)
    return _rounded(_PYTHON_MB + 1400 + 80 * rows / _MB, 30 + rows / 150_000, 500 * rows / _MB)


def threads_for_collect(sequences: Iterable[str | Path]) -> int:
    """Return the number of threads with which `collect` runs: one where starting it takes longer than its work."""
    return 4 if sum(estimate_bases(Path(path)) for path in sequences) > 10 * _MB else 1


def for_fit(chunks: Sequence[Chunk], model: Model) -> Requirements:
    """Return what `fit` needs, which holds the features of all frames, and those of train and val twice."""
    rows = sum(chunk.rows for chunk in chunks)
    values = rows * (model.nucleotide.dimension + model.protein.dimension)
    return _rounded(_TORCH_MB + 12 * values / _MB, 20 + 200 * values / 1e9, 1)


def for_sweep(tables: Sequence[str | Path]) -> Requirements:
    """Return what `sweep` needs, which holds two contig tables at a time; one that is not there yet counts nothing."""
    sizes = [Path(path).stat().st_size for path in tables if Path(path).exists()]
    return _rounded(_PYTHON_MB + 400 + 30 * max(sizes, default=0) / _MB, 10 + sum(sizes) / 1e9, 1)


def for_report(tables: Sequence[str | Path]) -> Requirements:
    """Return what `report` needs, which reads tables block by block; one that is not there yet counts nothing."""
    bases = sum(Path(path).stat().st_size for path in tables if Path(path).exists())
    return _rounded(_PYTHON_MB + 1400, 10 + bases / 1e9, 100)


def _vectors_mb(chunk: Chunk, model: Model, bytes_per_value: int) -> float:
    dimension = model.nucleotide.dimension + model.protein.dimension
    return chunk.rows * (8 + dimension * bytes_per_value) / _MB


def _rounded(mem_mb: float, minutes: float, disk_mb: float) -> Requirements:
    return Requirements(int(mem_mb) + 1, int(minutes) + 1, int(disk_mb) + 1)
