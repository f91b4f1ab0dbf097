"""LayerNorm of a residual stream: adds a branch and deferred biases, normalises, may quantise, in one pass."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional

from virnucpro_kernels.ops import dispatch
from virnucpro_kernels.ops.configs import KernelConfig
from virnucpro_kernels.ops.jit import jit_unspecialized, tl
from virnucpro_kernels.ops.quantize import FP8, Operand, RowScaled, quantize_rows
from virnucpro_kernels.ops.rows import add_rows, load_row, normalize_row, store_row, store_row_fp8


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
    update_residual: tl.constexpr,
    rows_a_program: tl.constexpr,
    stages: tl.constexpr,
) -> None:
    """`residual_layernorm` of `rows_a_program` rows in each program; with `out_scale_ptr` the result is fp8.

    The parameters, each as long as a row, are read again for every row: they come from the L1 cache. Kept in registers,
    they would lower the occupancy too far to hide the latency of memory.
    """
    first = tl.program_id(0) * rows_a_program
    for row in tl.range(first, tl.minimum(first + rows_a_program, rows), num_stages=stages):
        at = tl.cast(row, tl.int64) * width
        blocks = load_row(residual_ptr + at, width)
        if branch_ptr is not None:
            blocks = add_rows(blocks, load_row(branch_ptr + at, width), width)
        if update_residual:
            store_row(residual_ptr + at, blocks, width)
        if bias_ptr is not None:
            blocks = add_rows(blocks, load_row(bias_ptr, width), width)
        normed = normalize_row(blocks, weight_ptr, ln_bias_ptr, eps, width)
        if out_scale_ptr is not None:
            store_row_fp8(out_ptr + at, out_scale_ptr + row, normed, width)
        else:
            store_row(out_ptr + at, normed, width)


class NormParameters(NamedTuple):
    """Parameters of a LayerNorm over rows of d numbers, and a bias that the rows lack when they reach it.

    Attributes:
        weight: Factors of the channels, (d,).
        bias: Summands of the channels, (d,).
        eps: Constant added to the variance.
        deferred_bias: Bias, fp32 (d,), added to every row before its mean and variance; None where the rows lack none.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    eps: float
    deferred_bias: torch.Tensor | None


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
    residual: torch.Tensor,
    branch: torch.Tensor | None,
    norm: NormParameters,
    *,
    update_residual: bool = False,
    quantize: bool = False,
) -> Operand:
    """`residual_layernorm` in plain PyTorch."""
    normed = normalized_sum(residual, branch, norm, update_residual=update_residual)
    return quantize_rows(normed) if quantize else normed.to(residual.dtype)


def residual_layernorm(
    residual: torch.Tensor,
    branch: torch.Tensor | None,
    norm: NormParameters,
    *,
    update_residual: bool = False,
    quantize: bool = False,
    config: KernelConfig | None = None,
) -> Operand:
    """LayerNorm(residual + branch + deferred bias), statistics in fp32.

    The residual stream is kept **without** the biases of the projections that were added to it: `norm.deferred_bias` is
    the sum of all of them so far (a constant of the weights, summed in fp32 when the model is loaded), added here on
    the fly. So `torch.addmm` can add a product to the stream, and the stream need not be written again for a bias.

    Args:
        residual: Residual stream, (T, d) fp32, fp16 or bf16.
        branch: Branch to add to the residual, (T, d) of any floating type, or None where that was done already.
        norm: Parameters of the LayerNorm. The deferred bias never becomes part of `residual`.
        update_residual: Whether to write residual + branch back into `residual`, in place.
        quantize: Whether to return e4m3 values with a scale a row.
        config: Launch configurations of our kernels, see `dispatch.resolve_kernels`.

    Returns:
        (T, d) in the type of `residual`, or `RowScaled`.
    """
    launches = dispatch.resolve_kernels(residual.device, config)
    if launches is None:
        return residual_layernorm_reference(residual, branch, norm, update_residual=update_residual, quantize=quantize)
    rows, width = residual.shape
    out = torch.empty_like(residual, dtype=FP8 if quantize else residual.dtype)
    scale = torch.empty(rows, 1, dtype=torch.float32, device=out.device) if quantize else None
    launch = launches.layernorm_fp8 if quantize else launches.layernorm
    layernorm_kernel[(-(-rows // launch.rows),)](
        out, scale, residual, branch, norm.deferred_bias, norm.weight, norm.bias, rows, norm.eps, width=width,
        update_residual=update_residual, rows_a_program=launch.rows, stages=launch.stages, num_warps=launch.warps,
    )  # fmt: skip
    return out if scale is None else RowScaled(out, scale)
