"""A product and the GELU behind it, in one kernel where the GPU's configuration has a launch for it.

There the activation is computed on the accumulators, fp32, while the next tile is on its way. That saves a pass which
reads and writes the widest activation of a layer.
"""

from __future__ import annotations

import torch

from virnucpro_kernels.ops import dispatch
from virnucpro_kernels.ops.configs import KernelConfig, ProductLaunch
from virnucpro_kernels.ops.gelu import bias_gelu, gelu
from virnucpro_kernels.ops.jit import TensorDescriptor, jit, jit_unspecialized, tl
from virnucpro_kernels.ops.linear import linear
from virnucpro_kernels.ops.quantize import Operand, RowScaled

#: Alignment of the rows, in 16-bit numbers, that the units which copy tiles need.
_MULTIPLE = 8
#: Number of programs in Triton's interpreter, where there is no GPU.
_INTERPRETED_PROGRAMS = 3


@jit
def _store_activated(
    out_desc: tl.tensor_descriptor,
    bias_ptr: tl.tensor,
    product: tl.tensor,
    row: tl.tensor,
    column: tl.tensor,
    width: tl.constexpr,
    columns: tl.constexpr,
) -> None:
    at = column + tl.arange(0, columns)
    bias = tl.load(bias_ptr + at, mask=at < width, other=0.0).to(tl.float32)
    activated = gelu(product + bias[None, :], 5)
    out_desc.store([row, column], activated.to(out_desc.dtype))


@jit_unspecialized("rows")
def linear_gelu_kernel(
    x_desc: tl.tensor_descriptor,
    weight_desc: tl.tensor_descriptor,
    out_desc: tl.tensor_descriptor,
    bias_ptr: tl.tensor,
    rows: tl.tensor,
    inputs: tl.constexpr,
    width: tl.constexpr,
    tile_rows: tl.constexpr,
    tile_columns: tl.constexpr,
    depth: tl.constexpr,
    group: tl.constexpr,
) -> None:
    """`linear_gelu` of 16-bit matrices.

    There are as many programs as run at a time, and each computes one tile of the result after the other; copies for
    the next tile begin before this one is stored. Programs that run at the same time work on `group` rows of tiles, so
    that they find each other's inputs in the L2 cache. The result is stored by halves: the shared memory saved by this
    is one more buffer for the steps of the product.
    """
    row_tiles = tl.cdiv(rows, tile_rows)
    column_tiles: tl.constexpr = (width + tile_columns - 1) // tile_columns
    half: tl.constexpr = tile_columns // 2
    for tile in tl.range(tl.program_id(0), row_tiles * column_tiles, tl.num_programs(0), flatten=True):
        first = tile // (group * column_tiles) * group
        in_group = tile % (group * column_tiles)
        group_rows = tl.minimum(row_tiles - first, group)
        row = (first + in_group % group_rows) * tile_rows
        column = in_group // group_rows * tile_columns
        product = tl.zeros((tile_rows, tile_columns), tl.float32)
        for step in range((inputs + depth - 1) // depth):
            x = x_desc.load([row, step * depth])
            weight = weight_desc.load([column, step * depth])
            product = tl.dot(x, weight.T, product)
        left, right = tl.split(tl.permute(tl.reshape(product, (tile_rows, 2, half)), (0, 2, 1)))
        _store_activated(out_desc, bias_ptr, left, row, column, width, half)
        _store_activated(out_desc, bias_ptr, right, row, column + half, width, half)


def linear_gelu_reference(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """The kernel in plain PyTorch: gelu(x @ weight.T + bias) in fp32, rounded once to the type of x."""
    product = x.float() @ weight.float().t() + bias.float()
    return torch.nn.functional.gelu(product).to(x.dtype)


def linear_gelu(
    x: Operand,
    weight: Operand,
    bias: torch.Tensor,
    *,
    quantize: bool = False,
    config: KernelConfig | None = None,
) -> Operand:
    """gelu(x @ weight.T + bias), gelu(v) = v · Φ(v), Φ the normal distribution's, not its tanh approximation.

    One kernel where `one_kernel` has a launch; elsewhere `linear` and `bias_gelu`, between which the product is
    rounded.

    Args:
        x: Input, (T, in) fp32, fp16 or bf16; or `RowScaled` where the weight is.
        weight: Weights, (out, in) of the type of `x`.
        bias: Bias, (out,) of any floating type.
        quantize: Whether to return e4m3 values with a scale a row.
        config: Launch configurations of our kernels, see `dispatch.resolve_kernels`.

    Returns:
        (T, out) in the type of `x` (bf16 from fp8 operands), or `RowScaled`.
    """
    if not (quantize or isinstance(x, RowScaled) or isinstance(weight, RowScaled)):
        launch = one_kernel(x, weight, config=config)
        if launch is not None:
            return _launch(x, weight, bias, launch)
        if dispatch.resolve_kernels(x.device, config) is None:
            activated: torch.Tensor = torch.ops.aten.gelu_(linear(x, weight, bias))
            return activated
    hidden = linear(x, weight)
    return bias_gelu(hidden, bias, None if quantize else hidden, config=config)


def one_kernel(x: torch.Tensor, weight: torch.Tensor, *, config: KernelConfig | None = None) -> ProductLaunch | None:
    """Return the launch of `linear_gelu` where one kernel does all of it; otherwise None.

    One kernel needs a GPU whose configuration has a launch for it, and 16-bit matrices whose tiles can be copied.
    Matrices whose shapes do not fit each other are left to `linear`, which raises an error.
    """
    launches = dispatch.resolve_kernels(x.device, config)
    if launches is None:
        return None
    alike = x.dtype == weight.dtype and x.device == weight.device and x.shape[1] == weight.shape[1]
    tiled = _can_be_tiled(x) and _can_be_tiled(weight) and len(weight) % _MULTIPLE == 0
    fits = alike and tiled and x.dtype in dispatch.SIXTEEN_BIT
    return launches.linear_gelu if fits else None


def _can_be_tiled(matrix: torch.Tensor) -> bool:
    """Whether tiles of a 16-bit matrix can be copied: rows in one piece, each beginning at a multiple of 16 bytes."""
    starts = matrix.data_ptr() // 2, matrix.stride(0)
    return matrix.numel() > 0 and matrix.stride(1) == 1 and not any(start % _MULTIPLE for start in starts)


def _launch(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, launch: ProductLaunch) -> torch.Tensor:
    (rows, inputs), width = x.shape, len(weight)
    out = torch.empty(rows, width, dtype=x.dtype, device=x.device)
    tiles = -(-rows // launch.rows) * -(-width // launch.columns)
    # One program for each SM, because a program needs nearly all of its shared memory.
    on_gpu = x.device.type == "cuda"
    most = torch.cuda.get_device_properties(x.device).multi_processor_count if on_gpu else _INTERPRETED_PROGRAMS
    linear_gelu_kernel[(min(tiles, most),)](
        TensorDescriptor.from_tensor(x, [launch.rows, launch.depth]),
        TensorDescriptor.from_tensor(weight, [launch.columns, launch.depth]),
        TensorDescriptor.from_tensor(out, [launch.rows, launch.columns // 2]), bias, rows, inputs=inputs, width=width,
        tile_rows=launch.rows, tile_columns=launch.columns, depth=launch.depth, group=launch.group,
        num_warps=launch.warps, num_stages=launch.stages,
    )  # fmt: skip
    return out
