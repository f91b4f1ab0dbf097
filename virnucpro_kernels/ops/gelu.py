"""The activation functions: GELU (exact, by erf) with the bias of the product before it, and DNABERT-S's GLU."""

from __future__ import annotations

from typing import Literal, overload

import torch
from torch.nn import functional

from virnucpro_kernels.ops import dispatch
from virnucpro_kernels.ops.configs import KernelConfig, kernel_config
from virnucpro_kernels.ops.jit import jit, jit_for_any, tl
from virnucpro_kernels.ops.quantize import FP8, RowScaled, quantize_rows
from virnucpro_kernels.ops.rows import add_rows, load_row, multiply_rows, row_blocks, store_row_fp8


@jit
def gelu(x: tl.tensor, degree: tl.constexpr) -> tl.tensor:
    """x · Φ(x) of fp32 numbers.

    `degree` 0 is by erf. Otherwise gelu(x) = max(x, 0) − |x| · 2^p(|x|), where the polynomial p is log2 Φ(−|x|), fitted
    by us with minimax weights; one exp2 and no division. The leading coefficient is negative, so far out 2^p is 0.
    libdevice's erf costs three times as much and bounds the kernel.

    Degree 8: |error| of Φ at most 1.1e-7 (erf 2.2e-7), that of gelu 2e-7. Degree 5, for kernels that computing holds
    up: 1.3e-5 and 5.5e-7. The latter is what rounding a result of 0.001 to fp16 does; smaller results, at x < −3.4,
    lose digits (0.3 % of −1.3e-4 at −4), which no sum with ordinary ones can tell. Codes of fp8 next to zero are 4e-6
    apart where the largest number of a row is 1.
    """
    # One way out: Triton compiles what follows an early return as well, for every degree.
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


@jit_for_any("rows")
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
    """One tile a program, the tiles of a row one after the other, so that memory is read in its own order.

    `gated`: x has `width` columns of gates, then as many of values.
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


@jit_for_any("rows")
def activation_fp8_kernel(
    out_ptr: tl.tensor,
    out_scale_ptr: tl.tensor,
    x_ptr: tl.tensor,
    bias_ptr: tl.tensor,
    rows: tl.tensor,
    width: tl.constexpr,
    head: tl.constexpr,
    tail: tl.constexpr,
    gated: tl.constexpr,
    rows_a_program: tl.constexpr,
    stages: tl.constexpr,
) -> None:
    """Some rows a program; each stays in registers between its maximum and its rounding. Biases come from L1."""
    degree: tl.constexpr = 0 if x_ptr.dtype.element_ty == tl.float32 else 5
    stride: tl.constexpr = 2 * width if gated else width
    first = tl.program_id(0) * rows_a_program
    for row in tl.range(first, tl.minimum(first + rows_a_program, rows), num_stages=stages):
        at = tl.cast(row, tl.int64) * stride
        blocks = load_row(x_ptr + at, width, head, tail)
        if bias_ptr is not None:
            blocks = add_rows(blocks, load_row(bias_ptr, width, head, tail), tail)
        activated = tl.tuple((gelu(blocks[0], degree),))
        if tail != 0:
            activated += (gelu(blocks[1], degree),)
        if gated:
            activated = multiply_rows(activated, load_row(x_ptr + at + width, width, head, tail), tail)
        store_row_fp8(out_ptr + tl.cast(row, tl.int64) * width, out_scale_ptr + row, activated, width, head, tail)


def bias_gelu_reference(
    x: torch.Tensor, bias: torch.Tensor | None, *, out: torch.Tensor | None = None, quantize: bool = False
) -> torch.Tensor | RowScaled:
    """`bias_gelu` in plain PyTorch."""
    activated = functional.gelu(x.float() if bias is None else x.float() + bias.float())
    if quantize:
        return quantize_rows(activated)
    return activated.to(x.dtype) if out is None else out.copy_(activated)


@overload
def bias_gelu(
    x: torch.Tensor,
    bias: torch.Tensor | None,
    *,
    out: torch.Tensor | None = ...,
    quantize: Literal[False] = ...,
    kernels: str = ...,
    config: KernelConfig | None = ...,
) -> torch.Tensor: ...
@overload
def bias_gelu(
    x: torch.Tensor,
    bias: torch.Tensor | None,
    *,
    out: torch.Tensor | None = ...,
    quantize: bool,
    kernels: str = ...,
    config: KernelConfig | None = ...,
) -> torch.Tensor | RowScaled: ...


def bias_gelu(
    x: torch.Tensor,
    bias: torch.Tensor | None,
    *,
    out: torch.Tensor | None = None,
    quantize: bool = False,
    kernels: str = "auto",
    config: KernelConfig | None = None,
) -> torch.Tensor | RowScaled:
    """gelu(x + bias), gelu(v) = v · Φ(v) with Φ by erf, computed in fp32.

    :param x: (T, f) fp32, fp16 or bf16.
    :param bias: (f,) of any floating type, or None.
    :param out: (T, f) of the type of x to write to; may be x itself. Not with `quantize`.
    :param quantize: return e4m3 values with a scale a row.
    :param kernels: see `dispatch.resolve_kernels`; config: how our kernels cut the work, None for what was tuned.
    :return: (T, f) in the type of x, or `RowScaled`.
    """
    if dispatch.resolve_kernels(kernels, x.device) == "torch":
        return bias_gelu_reference(x, bias, out=out, quantize=quantize)
    return _launch(x, bias, out, quantize=quantize, gated=False, config=config)


def glu_reference(x: torch.Tensor, *, quantize: bool = False) -> torch.Tensor | RowScaled:
    """`glu` in plain PyTorch."""
    gate, value = x.float().chunk(2, dim=1)
    gated = functional.gelu(gate) * value
    return quantize_rows(gated) if quantize else gated.to(x.dtype)


@overload
def glu(
    x: torch.Tensor, *, quantize: Literal[False] = ..., kernels: str = ..., config: KernelConfig | None = ...
) -> torch.Tensor: ...
@overload
def glu(
    x: torch.Tensor, *, quantize: bool, kernels: str = ..., config: KernelConfig | None = ...
) -> torch.Tensor | RowScaled: ...


def glu(
    x: torch.Tensor, *, quantize: bool = False, kernels: str = "auto", config: KernelConfig | None = None
) -> torch.Tensor | RowScaled:
    """gelu(first half of the columns) · (second half), computed in fp32.

    :param x: (T, 2f) fp32, fp16 or bf16.
    :param quantize: return e4m3 values with a scale a row.
    :param kernels: see `dispatch.resolve_kernels`; config: how our kernels cut the work, None for what was tuned.
    :return: (T, f) in the type of x, or `RowScaled`.
    """
    if dispatch.resolve_kernels(kernels, x.device) == "torch":
        return glu_reference(x, quantize=quantize)
    return _launch(x, None, None, quantize=quantize, gated=True, config=config)


def _launch(
    x: torch.Tensor,
    bias: torch.Tensor | None,
    out: torch.Tensor | None,
    *,
    quantize: bool,
    gated: bool,
    config: KernelConfig | None,
) -> torch.Tensor | RowScaled:
    rows, columns = x.shape
    width = columns // 2 if gated else columns
    config = config or kernel_config(x.device)
    if quantize:
        cut = config.activation_fp8
        values = torch.empty(rows, width, dtype=FP8, device=x.device)
        scale = torch.empty(rows, 1, dtype=torch.float32, device=x.device)
        activation_fp8_kernel[(-(-rows // cut.rows),)](
            values, scale, x, bias, rows, **row_blocks(width), gated=gated,
            rows_a_program=cut.rows, stages=cut.stages, num_warps=cut.warps,
        )  # fmt: skip
        return RowScaled(values, scale)
    tile = config.activation
    if out is None:
        out = torch.empty(rows, width, dtype=x.dtype, device=x.device)
    activation_kernel[(-(-rows // tile.rows) * -(-width // tile.columns),)](
        out, x, bias, rows, width=width, gated=gated,
        rows_a_program=tile.rows, columns_a_program=tile.columns, num_warps=tile.warps,
    )  # fmt: skip
    return out
