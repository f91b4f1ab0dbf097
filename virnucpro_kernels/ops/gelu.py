"""The activation functions: GELU (exact, by erf) with the bias of the product before it, and DNABERT-S's GLU."""

from __future__ import annotations

from typing import Literal, overload

import torch
from torch.nn import functional

from virnucpro_kernels.ops import dispatch
from virnucpro_kernels.ops.quantize import RowScaled, quantize_rows


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
) -> torch.Tensor: ...
@overload
def bias_gelu(
    x: torch.Tensor, bias: torch.Tensor | None, *, out: torch.Tensor | None = ..., quantize: bool, kernels: str = ...
) -> torch.Tensor | RowScaled: ...


def bias_gelu(
    x: torch.Tensor,
    bias: torch.Tensor | None,
    *,
    out: torch.Tensor | None = None,
    quantize: bool = False,
    kernels: str = "auto",
) -> torch.Tensor | RowScaled:
    """gelu(x + bias), gelu(v) = v · Φ(v) with Φ by erf, computed in fp32.

    :param x: (T, f) fp32, fp16 or bf16.
    :param bias: (f,) of any floating type, or None.
    :param out: (T, f) of the type of x to write to; may be x itself. Not with `quantize`.
    :param quantize: return e4m3 values with a scale a row.
    :param kernels: see `dispatch.resolve_kernels`.
    :return: (T, f) in the type of x, or `RowScaled`.
    """
    dispatch.resolve_kernels(kernels, x.device)
    return bias_gelu_reference(x, bias, out=out, quantize=quantize)


def glu_reference(x: torch.Tensor, *, quantize: bool = False) -> torch.Tensor | RowScaled:
    """`glu` in plain PyTorch."""
    gate, value = x.float().chunk(2, dim=1)
    gated = functional.gelu(gate) * value
    return quantize_rows(gated) if quantize else gated.to(x.dtype)


@overload
def glu(x: torch.Tensor, *, quantize: Literal[False] = ..., kernels: str = ...) -> torch.Tensor: ...
@overload
def glu(x: torch.Tensor, *, quantize: bool, kernels: str = ...) -> torch.Tensor | RowScaled: ...


def glu(x: torch.Tensor, *, quantize: bool = False, kernels: str = "auto") -> torch.Tensor | RowScaled:
    """gelu(first half of the columns) · (second half), computed in fp32.

    :param x: (T, 2f) fp32, fp16 or bf16.
    :param quantize: return e4m3 values with a scale a row.
    :param kernels: see `dispatch.resolve_kernels`.
    :return: (T, f) in the type of x, or `RowScaled`.
    """
    dispatch.resolve_kernels(kernels, x.device)
    return glu_reference(x, quantize=quantize)
