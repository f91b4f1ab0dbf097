"""LayerNorm of a residual stream: adds a branch and deferred biases, normalises, may quantise, in one pass."""

from __future__ import annotations

from typing import Literal, overload

import torch
from torch.nn import functional

from virnucpro_kernels.ops import dispatch
from virnucpro_kernels.ops.configs import KernelConfig, kernel_config
from virnucpro_kernels.ops.jit import jit_for_any, tl
from virnucpro_kernels.ops.quantize import FP8, RowScaled, quantize_rows
from virnucpro_kernels.ops.rows import add_rows, load_row, normalize_row, row_blocks, store_row, store_row_fp8


@jit_for_any("rows")
def layernorm_kernel(
    out_ptr: tl.tensor,
    out_scale_ptr: tl.tensor,
    residual_ptr: tl.tensor,
    branch_ptr: tl.tensor,
    bias_ptr: tl.tensor,
    weight_ptr: tl.tensor,
    ln_bias_ptr: tl.tensor,
    rows: tl.tensor,
    eps: tl.tensor,
    width: tl.constexpr,
    head: tl.constexpr,
    tail: tl.constexpr,
    update_residual: tl.constexpr,
    rows_a_program: tl.constexpr,
    stages: tl.constexpr,
) -> None:
    """Some rows a program.

    Parameters, as long as a row, are read again for each: they come from the L1 cache, while kept in registers they
    would leave room for too few programs to hide the way to memory.
    """
    first = tl.program_id(0) * rows_a_program
    for row in tl.range(first, tl.minimum(first + rows_a_program, rows), num_stages=stages):
        at = tl.cast(row, tl.int64) * width
        blocks = load_row(residual_ptr + at, width, head, tail)
        if branch_ptr is not None:
            blocks = add_rows(blocks, load_row(branch_ptr + at, width, head, tail), tail)
        if update_residual:
            store_row(residual_ptr + at, blocks, width, head, tail)
        if bias_ptr is not None:
            blocks = add_rows(blocks, load_row(bias_ptr, width, head, tail), tail)
        normed = normalize_row(blocks, weight_ptr, ln_bias_ptr, eps, width, head, tail)
        if out_scale_ptr is not None:
            store_row_fp8(out_ptr + at, out_scale_ptr + row, normed, width, head, tail)
        else:
            store_row(out_ptr + at, normed, width, head, tail)


def residual_layernorm_reference(
    residual: torch.Tensor,
    branch: torch.Tensor | None,
    bias: torch.Tensor | None,
    weight: torch.Tensor,
    ln_bias: torch.Tensor,
    eps: float,
    *,
    update_residual: bool = False,
    quantize: bool = False,
) -> torch.Tensor | RowScaled:
    """`residual_layernorm` in plain PyTorch."""
    total = residual.float()
    if branch is not None:
        total = total + branch.float()
    if update_residual:
        residual.copy_(total)
    if bias is not None:
        total = total + bias.float()
    normed = functional.layer_norm(total, total.shape[-1:], weight.float(), ln_bias.float(), eps)
    return quantize_rows(normed) if quantize else normed.to(residual.dtype)


@overload
def residual_layernorm(
    residual: torch.Tensor,
    branch: torch.Tensor | None,
    bias: torch.Tensor | None,
    weight: torch.Tensor,
    ln_bias: torch.Tensor,
    eps: float,
    *,
    update_residual: bool = ...,
    quantize: Literal[False] = ...,
    kernels: str = ...,
    config: KernelConfig | None = ...,
) -> torch.Tensor: ...
@overload
def residual_layernorm(
    residual: torch.Tensor,
    branch: torch.Tensor | None,
    bias: torch.Tensor | None,
    weight: torch.Tensor,
    ln_bias: torch.Tensor,
    eps: float,
    *,
    update_residual: bool = ...,
    quantize: bool,
    kernels: str = ...,
    config: KernelConfig | None = ...,
) -> torch.Tensor | RowScaled: ...


def residual_layernorm(
    residual: torch.Tensor,
    branch: torch.Tensor | None,
    bias: torch.Tensor | None,
    weight: torch.Tensor,
    ln_bias: torch.Tensor,
    eps: float,
    *,
    update_residual: bool = False,
    quantize: bool = False,
    kernels: str = "auto",
    config: KernelConfig | None = None,
) -> torch.Tensor | RowScaled:
    """LayerNorm(residual + branch + bias), statistics in fp32.

    The residual stream is kept **without** the biases of the projections that were added to it: `bias` is the sum of
    all of them so far (a constant of the weights, summed in fp32 when the model is loaded), added here on the fly.
    So `torch.addmm` can add a product to the stream, and the stream need not be written again for a bias.

    :param residual: (T, d) fp32, fp16 or bf16.
    :param branch: (T, d) of any floating type, to be added to the residual, or None where that was done already.
    :param bias: (d,) fp32, or None. Never becomes part of `residual`.
    :param weight: (d,), ln_bias: (d,): affine parameters of the LayerNorm.
    :param update_residual: write residual + branch back into `residual` (in place).
    :param quantize: return e4m3 values with a scale a row.
    :param kernels: see `dispatch.resolve_kernels`; config: how our kernels cut the work, None for what was tuned.
    :return: (T, d) in the type of `residual`, or `RowScaled`.
    """
    if dispatch.resolve_kernels(kernels, residual.device) == "torch":
        return residual_layernorm_reference(
            residual, branch, bias, weight, ln_bias, eps, update_residual=update_residual, quantize=quantize
        )
    config = config or kernel_config(residual.device)
    cut = config.layernorm_fp8 if quantize else config.layernorm
    rows, width = residual.shape
    out = torch.empty_like(residual, dtype=FP8 if quantize else residual.dtype)
    scale = torch.empty(rows, 1, dtype=torch.float32, device=out.device) if quantize else None
    layernorm_kernel[(-(-rows // cut.rows),)](
        out, scale, residual, branch, bias, weight, ln_bias, rows, eps,
        **row_blocks(width), update_residual=update_residual,
        rows_a_program=cut.rows, stages=cut.stages, num_warps=cut.warps,
    )  # fmt: skip
    return out if scale is None else RowScaled(out, scale)
