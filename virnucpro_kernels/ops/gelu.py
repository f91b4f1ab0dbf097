"""The activation functions: GELU (exact, by erf) with the bias of the product before it, and DNABERT-S's GLU."""

from __future__ import annotations

import torch
from torch.nn import functional

from virnucpro_kernels.ops import dispatch
from virnucpro_kernels.ops.configs import KernelConfig, RowLaunch, TileLaunch
from virnucpro_kernels.ops.jit import jit, jit_unspecialized, tl
from virnucpro_kernels.ops.quantize import FP8, Operand, RowScaled, quantize_rows
from virnucpro_kernels.ops.rows import add_rows, load_row, store_row_fp8, tail_block


@jit
def gelu(x: tl.tensor, degree: tl.constexpr) -> tl.tensor:
    """x · Φ(x) of fp32 numbers.

    `degree` 0 is by erf. Otherwise gelu(x) = max(x, 0) − |x| · 2^p(|x|), where the polynomial p is log2 Φ(−|x|), fitted
    by us with minimax weights; one exp2 and no division. The leading coefficient is negative, so far out 2^p is 0.
    libdevice's erf costs three times as much and bounds the kernel.

    Degree 8: |error| of Φ at most 1.1e-7 (erf 2.2e-7), that of gelu 2e-7. Degree 5, for compute-bound
    kernels: 1.3e-5 and 5.5e-7. The latter is what rounding a result of 0.001 to fp16 does; smaller ones, at x < −3.4,
    lose digits (0.3 % of −1.3e-4 at −4), which no sum with ordinary ones can tell. Codes of fp8 next to zero are 4e-6
    apart where the largest number of a row is 1.
    """
    # A single return: Triton compiles what follows an early return as well, for every degree.
    if degree == 0:
        y = 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))
    else:
        size = tl.abs(x)
        if degree == 5:
            p = -0.0004722873854916543 * size + 0.007079673931002617
            p = p * size - 0.05182158946990967
            p = p * size - 0.4599919021129608
            p = p * size - 1.1507909297943115
            p = p * size - 1.0000369548797607
        else:
            tl.static_assert(degree == 8)
            p = -6.604103646168369e-07 * size + 1.1730954611266498e-05
            p = p * size - 4.867320240009576e-05
            p = p * size - 0.0004774717672262341
            p = p * size + 0.007508268114179373
            p = p * size - 0.052795857191085815
            p = p * size - 0.4591141641139984
            p = p * size - 1.151115894317627
            p = p * size - 0.9999998211860657
        y = tl.maximum(x, 0.0) - size * tl.exp2(p)
    return y


@jit_unspecialized("rows")
def activation_kernel(
    out_ptr: tl.tensor,
    x_ptr: tl.tensor,
    bias_ptr: tl.tensor,
    rows: tl.tensor,
    width: tl.constexpr,
    gated: tl.constexpr,
    rows_a_program: tl.constexpr,
    columns_a_program: tl.constexpr,
) -> None:
    """`bias_gelu` or, where `gated`, `glu`: each program computes one tile of the result, (rows, columns)_a_program.

    Neighbouring programs have neighbouring tiles of the same rows, so that memory is read in its own order. With
    `gated`, a row of x has `width` gates and then as many values.
    """
    tiles_a_row: tl.constexpr = (width + columns_a_program - 1) // columns_a_program
    row = tl.program_id(0) // tiles_a_row * rows_a_program + tl.arange(0, rows_a_program)
    column = tl.program_id(0) % tiles_a_row * columns_a_program + tl.arange(0, columns_a_program)
    inside = (row < rows)[:, None]
    if width % columns_a_program != 0:
        inside = inside & (column < width)[None, :]
    stride: tl.constexpr = 2 * width if gated else width
    at = row.to(tl.int64)[:, None] * stride + column[None, :]
    x = tl.load(x_ptr + at, mask=inside, other=0.0)
    degree: tl.constexpr = 0 if x_ptr.dtype.element_ty == tl.float32 else 8
    x = x.to(tl.float32)
    if bias_ptr is not None:
        x += tl.load(bias_ptr + column, mask=column < width, other=0.0).to(tl.float32)[None, :]
    y = gelu(x, degree)
    if gated:
        y *= tl.load(x_ptr + at + width, mask=inside, other=0.0).to(tl.float32)
    tl.store(out_ptr + row.to(tl.int64)[:, None] * width + column[None, :], y.to(out_ptr.dtype.element_ty), mask=inside)


@jit_unspecialized("rows")
def activation_fp8_kernel(
    out_ptr: tl.tensor,
    out_scale_ptr: tl.tensor,
    x_ptr: tl.tensor,
    bias_ptr: tl.tensor,
    rows: tl.tensor,
    width: tl.constexpr,
    rows_a_program: tl.constexpr,
    stages: tl.constexpr,
) -> None:
    """`bias_gelu` with fp8 output: each program computes `rows_a_program` rows, one after the other.

    A row stays in registers between finding its maximum and rounding it. The bias is read again for every row, from L1.
    """
    degree: tl.constexpr = 0 if x_ptr.dtype.element_ty == tl.float32 else 5
    first = tl.program_id(0) * rows_a_program
    for row in tl.range(first, tl.minimum(first + rows_a_program, rows), num_stages=stages):
        at = tl.cast(row, tl.int64) * width
        blocks = load_row(x_ptr + at, width)
        if bias_ptr is not None:
            blocks = add_rows(blocks, load_row(bias_ptr, width), width)
        activated = tl.tuple((gelu(blocks[0], degree),))
        if tail_block(width) != 0:
            activated += (gelu(blocks[1], degree),)
        store_row_fp8(out_ptr + at, out_scale_ptr + row, activated, width)


def bias_gelu_reference(x: torch.Tensor, bias: torch.Tensor | None, out: torch.Tensor | None) -> Operand:
    """`bias_gelu` in plain PyTorch."""
    activated = functional.gelu(x.float() if bias is None else x.float() + bias.float())
    return quantize_rows(activated) if out is None else out.copy_(activated)


def bias_gelu(
    x: torch.Tensor, bias: torch.Tensor | None, out: torch.Tensor | None, *, config: KernelConfig | None = None
) -> Operand:
    """gelu(x + bias), gelu(v) = v · Φ(v) with Φ by erf, computed in fp32.

    Args:
        x: Input, (T, f) fp32, fp16 or bf16.
        bias: Bias, (f,) of any floating type, or None.
        out: Tensor (T, f) of the type of `x` to write to and return; may be `x` itself. None returns e4m3 values.
        config: Launch configurations of our kernels, see `dispatch.resolve_kernels`.

    Returns:
        `out`, or `RowScaled` without one.
    """
    launches = dispatch.resolve_kernels(x.device, config)
    if launches is None:
        return bias_gelu_reference(x, bias, out)
    if out is None:
        return _launch_fp8(x, bias, launches.activation_fp8)
    _launch(out, x, bias, gated=False, launch=launches.activation)
    return out


def glu_reference(x: torch.Tensor) -> torch.Tensor:
    """`glu` in plain PyTorch."""
    gate, value = x.float().chunk(2, dim=1)
    return (functional.gelu(gate) * value).to(x.dtype)


def glu(x: torch.Tensor, *, config: KernelConfig | None = None) -> torch.Tensor:
    """gelu(first half of the columns) · (second half), computed in fp32.

    Args:
        x: Input, (T, 2f) fp32, fp16 or bf16.
        config: Launch configurations of our kernels, see `dispatch.resolve_kernels`.

    Returns:
        (T, f) in the type of `x`.
    """
    launches = dispatch.resolve_kernels(x.device, config)
    if launches is None:
        gate, value = x.chunk(2, dim=1)
        return functional.gelu(gate).mul_(value)
    out = torch.empty(len(x), x.shape[1] // 2, dtype=x.dtype, device=x.device)
    _launch(out, x, None, gated=True, launch=launches.activation)
    return out


def _launch(out: torch.Tensor, x: torch.Tensor, bias: torch.Tensor | None, *, gated: bool, launch: TileLaunch) -> None:
    rows, width = out.shape
    activation_kernel[(-(-rows // launch.rows) * -(-width // launch.columns),)](
        out, x, bias, rows, width=width, gated=gated,
        rows_a_program=launch.rows, columns_a_program=launch.columns, num_warps=launch.warps,
    )  # fmt: skip


def _launch_fp8(x: torch.Tensor, bias: torch.Tensor | None, launch: RowLaunch) -> RowScaled:
    rows, width = x.shape
    values = torch.empty(rows, width, dtype=FP8, device=x.device)
    scale = torch.empty(rows, 1, dtype=torch.float32, device=x.device)
    activation_fp8_kernel[(-(-rows // launch.rows),)](
        values, scale, x, bias, rows, width=width,
        rows_a_program=launch.rows, stages=launch.stages, num_warps=launch.warps,
    )  # fmt: skip
    return RowScaled(values, scale)
