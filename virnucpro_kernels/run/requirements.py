"""Memory, time and disk that each job asks for, from the work it will do.

Generous, for a job that asks too little is killed; the workflow multiplies them with the attempt. Times are those of
slow machines; `--set-resources` knows better.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from virnucpro_kernels.pool.manifest import Chunk
from virnucpro_kernels.run.pools import estimate_bases
from virnucpro_kernels.weights.registry import Model

_MB = 1_000_000
#: Multiply-adds a second: a fifth of a 24 GB card in fp16, and one core of an old CPU in fp32.
_GPU_RATE = 1e13
_CPU_RATE = 5e9
_PYTHON_MB = 600
_TORCH_MB = 2500


@dataclass(frozen=True)
class Requirements:
    """What a job may use: host memory and temporary disk in MB, time in minutes."""

    mem_mb: int
    runtime: int
    disk_mb: int


def for_split(sequences: Iterable[str | Path]) -> Requirements:
    """Cutting the samples of a pool: at most 32 bytes a record beyond a constant; frames are written twice, as text."""
    bases = sum(estimate_bases(Path(path)) for path in sequences)
    shortest_records = bases / 100
    return _rounded(_PYTHON_MB + 1400 + 40 * shortest_records / _MB, 10 + bases / 1e8, 100 + 8 * bases / _MB)


def for_embed(chunk: Chunk, model: Model, device: str, bytes_per_value: int) -> Requirements:
    """Running both encoders on a chunk."""
    weights = model.nucleotide.bytes + model.protein.bytes
    parameters = weights / 2
    tokens = chunk.protein_tokens + chunk.nucleotide_tokens
    seconds = parameters * tokens / (_GPU_RATE if device == "cuda" else _CPU_RATE)
    # On a CPU the weights are used in fp32, twice their size on disk; on a GPU they only pass through.
    copies = 1.2 if device == "cuda" else 2.5
    sequences = 12 * chunk.protein_tokens
    return _rounded(
        _TORCH_MB + (copies * weights + sequences) / _MB, 20 + seconds / 60, _vectors_mb(chunk, model, bytes_per_value)
    )


def for_merge(chunk: Chunk, model: Model, bytes_per_value: int) -> Requirements:
    """Joining a chunk's two embedding files, block by block."""
    disk = _vectors_mb(chunk, model, bytes_per_value)
    return _rounded(_PYTHON_MB + 400 + 16 * chunk.rows / _MB, 10 + disk / 1000, disk)


def for_classify(chunk: Chunk, model: Model, bytes_per_value: int) -> Requirements:
    """Scoring a chunk's features, block by block."""
    disk = _vectors_mb(chunk, model, bytes_per_value)
    return _rounded(_TORCH_MB + 40 * chunk.rows / _MB, 10 + disk / 500, 32 * chunk.rows / _MB)


def for_collect(chunks: Sequence[Chunk]) -> Requirements:
    """Writing a sample's tables: streaming, at most 32 bytes a record beyond a constant."""
    rows = sum(chunk.rows for chunk in chunks)
    return _rounded(_PYTHON_MB + 1400 + 40 * rows / _MB, 10 + rows / 500_000, 500 * rows / _MB)


def _vectors_mb(chunk: Chunk, model: Model, bytes_per_value: int) -> float:
    dimension = model.nucleotide.dimension + model.protein.dimension
    return chunk.rows * (8 + dimension * bytes_per_value) / _MB


def _rounded(mem_mb: float, minutes: float, disk_mb: float) -> Requirements:
    return Requirements(int(mem_mb) + 1, int(minutes) + 1, int(disk_mb) + 1)
