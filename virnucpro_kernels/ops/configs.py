"""Launch configurations of the kernels, one row a GPU family, as found by `benchmarks/tune_kernels.py`.

They are fixed: nothing is tuned while a run lasts, so that the same input gives the same bytes.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class ResidentConfig:
    """How a program computes a head of a sequence that it holds in shared memory as a whole."""

    #: Tokens whose queries are loaded at a time; None: all are loaded at the start, and computed tile by tile.
    queries: int | None
    warps: int = 4
    #: Registers a thread may use at most; None leaves it to the compiler.
    registers: int | None = None


@dataclass(frozen=True)
class AttentionConfig:
    """How attention is cut into programs. A tile is `block` tokens of a sequence."""

    block: int
    #: For sequences of 1, 2, … tiles.
    resident: tuple[ResidentConfig, ...] = ()
    #: For longer ones, which stream keys and values through `stages` buffers.
    warps: int = 4
    stages: int = 2
    registers: int | None = None
    #: Launches for one batch run into one another. For compute capability 9.0 and newer.
    overlapped: bool = False


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
class ProductConfig:
    """How a matrix product is cut: tiles of the result, computed `depth` inputs at a time from `stages` buffers."""

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int
    #: Rows of tiles that programs work on at the same time.
    group: int


@dataclass(frozen=True)
class KernelConfig:
    """Configurations of all kernels on one family of GPUs."""

    attention: AttentionConfig
    #: fp32 products run on the ordinary cores, where small tiles are enough.
    attention_fp32: AttentionConfig = AttentionConfig(block=32, stages=1)
    layernorm: RowConfig = RowConfig(rows=2, warps=1)
    layernorm_fp8: RowConfig = RowConfig(rows=2, warps=1)
    activation: TileConfig = TileConfig(rows=2, columns=1024, warps=4)
    activation_fp8: RowConfig = RowConfig(rows=2, warps=8)
    #: One sequence a program, whatever `rows` says.
    pooling: RowConfig = RowConfig(rows=1, warps=4, stages=3)
    #: The 16-bit product before a GELU with the GELU inside; None: cuBLAS's product, and the GELU as a pass of its own.
    linear_gelu: ProductConfig | None = None


#: Compute capability 9.0: matrix products read shared memory directly, so keys and values may stay there. Registers
#: decide how many programs an SM has at a time: with 128 and 4 warps four, as far as their memory fits.
HOPPER = KernelConfig(
    attention=AttentionConfig(
        block=64,
        resident=(
            ResidentConfig(queries=None, registers=128),
            ResidentConfig(queries=None, registers=128),
            ResidentConfig(queries=64, registers=128),
            ResidentConfig(queries=64),
            ResidentConfig(queries=128, warps=8, registers=128),
            ResidentConfig(queries=128, warps=8, registers=128),
        ),
        registers=168,
        overlapped=True,
    ),
    linear_gelu=ProductConfig(rows=128, columns=256, depth=64, warps=8, stages=4, group=16),
)
#: Every other GPU since compute capability 8.0.
AMPERE = KernelConfig(attention=AttentionConfig(block=64))


@functools.cache
def kernel_config(device: torch.device) -> KernelConfig:
    """Return the configurations for `device`; a CPU (Triton's interpreter) is given Hopper's."""
    if device.type == "cuda" and torch.cuda.get_device_capability(device)[0] != 9:
        return AMPERE
    return HOPPER
