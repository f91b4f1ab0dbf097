"""Launch configurations of the kernels, one row a GPU family, as found by `benchmarks/tune_kernels.py`.

They are fixed: nothing is tuned while a run lasts, so that the same input gives the same bytes.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class AttentionConfig:
    """How attention is cut into programs. A tile is `block` tokens of a sequence."""

    block: int
    #: Sequences of at most so many tiles: one program a head holds the whole sequence in shared memory.
    resident_tiles: int
    #: Of these, sequences of at most so many tiles also unroll the loop over queries.
    unrolled_tiles: int
    warps: int = 4
    #: Longer sequences stream keys and values through this many buffers.
    stages: int = 2
    #: Registers a thread may use at most; None leaves it to the compiler.
    resident_registers: int | None = None
    streamed_registers: int | None = None


@dataclass(frozen=True)
class RowConfig:
    """How a kernel that owns whole rows is cut into programs."""

    rows: int
    warps: int
    stages: int = 1


@dataclass(frozen=True)
class TileConfig:
    """How an elementwise kernel is cut into programs."""

    rows: int
    columns: int
    warps: int


@dataclass(frozen=True)
class KernelConfig:
    """Configurations of all kernels on one family of GPUs."""

    attention: AttentionConfig
    #: fp32 products run on the ordinary cores, where small tiles are enough.
    attention_fp32: AttentionConfig = AttentionConfig(block=32, resident_tiles=0, unrolled_tiles=0, stages=1)
    layernorm: RowConfig = RowConfig(rows=4, warps=2)
    layernorm_fp8: RowConfig = RowConfig(rows=8, warps=2)
    activation: TileConfig = TileConfig(rows=1, columns=2048, warps=8)
    activation_fp8: RowConfig = RowConfig(rows=8, warps=4, stages=2)
    #: One sequence a program, whatever `rows` says.
    pooling: RowConfig = RowConfig(rows=1, warps=4, stages=3)


#: Compute capability 9.0: matrix products read shared memory directly, so keys and values may stay there.
HOPPER = KernelConfig(
    # With 168 registers a thread three programs fit on an SM at a time, without spilling.
    attention=AttentionConfig(block=64, resident_tiles=6, unrolled_tiles=3, streamed_registers=168)
)
#: Every other GPU since compute capability 8.0.
AMPERE = KernelConfig(attention=AttentionConfig(block=64, resident_tiles=0, unrolled_tiles=0))


@functools.cache
def kernel_config(device: torch.device) -> KernelConfig:
    """Return the configurations for `device`; a CPU (Triton's interpreter) is given Hopper's."""
    if device.type == "cuda" and torch.cuda.get_device_capability(device)[0] != 9:
        return AMPERE
    return HOPPER
