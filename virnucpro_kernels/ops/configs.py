"""Launch configurations of the kernels, one row a GPU family, as found by `benchmarks/tune_kernels.py`.

They are fixed: nothing is tuned while a run lasts, so that the same input gives the same bytes.
"""

import functools
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class ResidentLaunch:
    """Launch of `resident_kernel`, which holds a sequence in shared memory as a whole."""

    #: Tokens whose queries are loaded at a time; None: all are loaded at the start, and computed tile by tile.
    queries: int | None
    warps: int = 4
    #: Largest number of registers of a thread; None leaves it to the compiler.
    registers: int | None = None


@dataclass(frozen=True)
class AttentionLaunch:
    """Launches of attention. A tile is `block` tokens of a sequence."""

    block: int
    #: Launches for sequences of 1, 2, … tiles.
    resident: tuple[ResidentLaunch, ...] = ()
    #: Launch for longer ones, which stream keys and values through `stages` buffers.
    warps: int = 4
    stages: int = 2
    registers: int | None = None
    #: Whether the launches for one batch run into one another. For compute capability 9.0 and newer.
    overlapped: bool = False


@dataclass(frozen=True)
class RowLaunch:
    """Launch of a kernel whose programs compute whole rows."""

    rows: int
    warps: int
    stages: int = 1


@dataclass(frozen=True)
class TileLaunch:
    """Launch of an elementwise kernel: each program computes a tile of `rows` by `columns`."""

    rows: int
    columns: int
    warps: int


@dataclass(frozen=True)
class ProductLaunch:
    """Launch of a matrix product: tiles of the result, computed `depth` inputs at a time from `stages` buffers."""

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int
    #: Number of rows of tiles that programs work on at the same time.
    group: int


@dataclass(frozen=True)
class KernelConfig:
    """Launch configurations of all kernels on one family of GPUs."""

    attention: AttentionLaunch
    #: fp32 products run on the ordinary cores, where small tiles are enough.
    attention_fp32: AttentionLaunch = AttentionLaunch(block=32, stages=1)
    layernorm: RowLaunch = RowLaunch(rows=2, warps=1)
    layernorm_fp8: RowLaunch = RowLaunch(rows=2, warps=1)
    activation: TileLaunch = TileLaunch(rows=2, columns=1024, warps=4)
    activation_fp8: RowLaunch = RowLaunch(rows=2, warps=8)
    #: One sequence a program, whatever `rows` says.
    token_mean: RowLaunch = RowLaunch(rows=1, warps=4, stages=3)
    #: 16-bit product with the GELU behind it in one kernel; None: cuBLAS's product, and the GELU as a pass of its own.
    linear_gelu: ProductLaunch | None = None


#: Compute capability 9.0: matrix products read shared memory directly, so keys and values may stay there. Registers
#: decide the occupancy of an SM: with 128 and 4 warps four, as far as their memory fits.
HOPPER = KernelConfig(
    attention=AttentionLaunch(
        block=64,
        resident=(
            ResidentLaunch(queries=None, registers=128),
            ResidentLaunch(queries=None, registers=128),
            ResidentLaunch(queries=64, registers=128),
            ResidentLaunch(queries=64),
            ResidentLaunch(queries=128, warps=8, registers=128),
            ResidentLaunch(queries=128, warps=8, registers=128),
        ),
        registers=168,
        overlapped=True,
    ),
    linear_gelu=ProductLaunch(rows=128, columns=256, depth=64, warps=8, stages=4, group=16),
)
#: Every other GPU since compute capability 8.0.
AMPERE = KernelConfig(attention=AttentionLaunch(block=64))


@functools.cache
def kernel_config(device: torch.device) -> KernelConfig:
    """Return the configurations for `device`; a CPU (Triton's interpreter) gets Hopper's."""
    if device.type == "cuda" and torch.cuda.get_device_capability(device)[0] != 9:
        return AMPERE
    return HOPPER
