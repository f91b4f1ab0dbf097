"""LayerNorm of a residual stream: adds a branch and deferred biases, normalises, may quantise, in one pass."""

from __future__ import annotations

from typing import Literal, overload

import torch
from torch.nn import functional

from virnucpro_kernels.ops import dispatch
from virnucpro_kernels.ops.quantize import RowScaled, quantize_rows


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
    :param kernels: see `dispatch.resolve_kernels`.
    :return: (T, d) in the type of `residual`, or `RowScaled`.
    """
    dispatch.resolve_kernels(kernels, residual.device)
    return residual_layernorm_reference(
        residual, branch, bias, weight, ln_bias, eps, update_residual=update_residual, quantize=quantize
    )
