"""LayerNorm of a residual stream: adds a branch and deferred biases, normalises, may quantise, in one pass."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional

from virnucpro_kernels.ops import dispatch
from virnucpro_kernels.ops.configs import KernelConfig, RowLaunch, kernel_config
from virnucpro_kernels.ops.jit import jit_unspecialized, tl
from virnucpro_kernels.ops.quantize import FP8, RowScaled, quantize_rows
from virnucpro_kernels.ops.rows import add_rows, load_row, normalize_row, row_blocks, store_row, store_row_fp8


@jit_unspecialized("rows")
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
    main: tl.constexpr,
    tail: tl.constexpr,
    update_residual: tl.constexpr,
    rows_a_program: tl.constexpr,
    stages: tl.constexpr,
) -> None:
    """`residual_layernorm` of `rows_a_program` rows in each program; with `out_scale_ptr` the result is fp8.

    The parameters, each as long as a row, are read again for every row: they come from the L1 cache. Kept in registers,
    they would leave room for too few programs to hide the latency of memory.
    """
    first = tl.program_id(0) * rows_a_program
    for row in tl.range(first, tl.minimum(first + rows_a_program, rows), num_stages=stages):
        at = tl.cast(row, tl.int64) * width
        blocks = load_row(residual_ptr + at, width, main, tail)
        if branch_ptr is not None:
            blocks = add_rows(blocks, load_row(branch_ptr + at, width, main, tail), tail)
        if update_residual:
            store_row(residual_ptr + at, blocks, width, main, tail)
        if bias_ptr is not None:
            blocks = add_rows(blocks, load_row(bias_ptr, width, main, tail), tail)
        normed = normalize_row(blocks, weight_ptr, ln_bias_ptr, eps, width, main, tail)
        if out_scale_ptr is not None:
            store_row_fp8(out_ptr + at, out_scale_ptr + row, normed, width, main, tail)
        else:
            store_row(out_ptr + at, normed, width, main, tail)


class NormParameters(NamedTuple):
    """Parameters of a LayerNorm over rows of d numbers, and a bias that the rows lack when they reach it."""

    weight: torch.Tensor
    """(d,)"""
    bias: torch.Tensor
    """(d,)"""
    eps: float
    deferred_bias: torch.Tensor | None
    """fp32 (d,), added to every row before its mean and variance; None where the rows lack none"""


def normalized_sum(
    residual: torch.Tensor, branch: torch.Tensor | None, norm: NormParameters, *, update_residual: bool = False
) -> torch.Tensor:
    """LayerNorm(residual + branch + deferred bias) in plain PyTorch, fp32 (T, d)."""
    total = residual.float()
    if branch is not None:
        total = total + branch.float()
    if update_residual:
        residual.copy_(total)
    if norm.deferred_bias is not None:
        total = total + norm.deferred_bias.float()
    return functional.layer_norm(total, total.shape[-1:], norm.weight.float(), norm.bias.float(), norm.eps)


def residual_layernorm_reference(
    residual: torch.Tensor, branch: torch.Tensor | None, norm: NormParameters, *, update_residual: bool = False
) -> torch.Tensor:
    """`residual_layernorm` in plain PyTorch."""
    return normalized_sum(residual, branch, norm, update_residual=update_residual).to(residual.dtype)


def residual_layernorm_fp8_reference(
    residual: torch.Tensor, branch: torch.Tensor | None, norm: NormParameters, *, update_residual: bool = False
) -> RowScaled:
    """`residual_layernorm_fp8` in plain PyTorch."""
    return quantize_rows(normalized_sum(residual, branch, norm, update_residual=update_residual))


def residual_layernorm(
    residual: torch.Tensor,
    branch: torch.Tensor | None,
    norm: NormParameters,
    *,
    update_residual: bool = False,
    kernels: str = "auto",
    config: KernelConfig | None = None,
) -> torch.Tensor:
    """LayerNorm(residual + branch + deferred bias), statistics in fp32.

    The residual stream is kept **without** the biases of the projections that were added to it: `norm.deferred_bias` is
    the sum of all of them so far (a constant of the weights, summed in fp32 when the model is loaded), added here on
    the fly. So `torch.addmm` can add a product to the stream, and the stream need not be written again for a bias.

    Args:
        residual: (T, d) fp32, fp16 or bf16.
        branch: (T, d) of any floating type, to be added to the residual, or None where that was done already.
        norm: Parameters of the LayerNorm. The deferred bias never becomes part of `residual`.
        update_residual: Whether to write residual + branch back into `residual`, in place.
        kernels: Implementation, see `dispatch.resolve_kernels`.
        config: Launch configurations of our kernels; None takes the tuned ones.

    Returns:
        (T, d) in the type of `residual`.
    """
    if dispatch.resolve_kernels(kernels, residual.device) == "torch":
        return residual_layernorm_reference(residual, branch, norm, update_residual=update_residual)
    out = torch.empty_like(residual)
    launch = (config or kernel_config(residual.device)).layernorm
    _launch(out, None, residual, branch, norm, update_residual, launch)
    return out


def residual_layernorm_fp8(
    residual: torch.Tensor,
    branch: torch.Tensor | None,
    norm: NormParameters,
    *,
    update_residual: bool = False,
    kernels: str = "auto",
    config: KernelConfig | None = None,
) -> RowScaled:
    """`residual_layernorm`, its result rounded to e4m3 (T, d) with a scale a row."""
    if dispatch.resolve_kernels(kernels, residual.device) == "torch":
        return residual_layernorm_fp8_reference(residual, branch, norm, update_residual=update_residual)
    out = torch.empty_like(residual, dtype=FP8)
    scale = torch.empty(len(residual), 1, dtype=torch.float32, device=out.device)
    launch = (config or kernel_config(residual.device)).layernorm_fp8
    _launch(out, scale, residual, branch, norm, update_residual, launch)
    return RowScaled(out, scale)


def _launch(
    out: torch.Tensor,
    scale: torch.Tensor | None,
    residual: torch.Tensor,
    branch: torch.Tensor | None,
    norm: NormParameters,
    update_residual: bool,
    launch: RowLaunch,
) -> None:
    rows, width = residual.shape
    layernorm_kernel[(-(-rows // launch.rows),)](
        out, scale, residual, branch, norm.deferred_bias, norm.weight, norm.bias, rows, norm.eps,
        **row_blocks(width), update_residual=update_residual,
        rows_a_program=launch.rows, stages=launch.stages, num_warps=launch.warps,
    )  # fmt: skip
