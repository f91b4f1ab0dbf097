"""Matrix products by cuBLAS: fp32, fp16, bf16, and fp8 with a scale a row of both operands.

The one before a GELU may be ours, see `linear_gelu`.
"""

from __future__ import annotations

import torch

from virnucpro_kernels.ops.quantize import RowScaled

Operand = torch.Tensor | RowScaled


def linear(x: Operand, weight: Operand, bias: torch.Tensor | None = None) -> torch.Tensor:
    """`x @ weight.T + bias`.

    :param x: (T, in), or `RowScaled` where the weight is.
    :param weight: (out, in) of the type of x, or `RowScaled` with a scale an output row.
    :param bias: (out,) of the type of the result.
    :return: (T, out) in the type of x; bf16 from fp8 operands (what cuBLAS and CUTLASS both offer for row scales).
    :raises TypeError: only one operand is fp8; quantise inside the kernel that writes x.
    """
    if isinstance(x, RowScaled) and isinstance(weight, RowScaled):
        return _linear_fp8(x, weight, bias)
    if isinstance(x, RowScaled) or isinstance(weight, RowScaled):
        raise TypeError("linear: both operands must be fp8, or none")
    return torch.mm(x, weight.t()) if bias is None else torch.addmm(bias, x, weight.t())


def linear_add(x: Operand, weight: Operand, residual: torch.Tensor) -> torch.Tensor | None:
    """Product of a residual branch, without its bias (that is added inside the next LayerNorm).

    Where cuBLAS can add to its output, `residual += x @ weight.T` happens in place and None is returned; otherwise
    (fp8) the product is returned, for `residual_layernorm` to add.

    :param x: (T, in); weight: (out, in); residual: (T, out).
    """
    if isinstance(x, RowScaled):
        return linear(x, weight)
    if isinstance(weight, RowScaled):
        raise TypeError("linear_add: both operands must be fp8, or none")
    torch.addmm(residual, x, weight.t(), out=residual)
    return None


def _linear_fp8(x: RowScaled, weight: RowScaled, bias: torch.Tensor | None) -> torch.Tensor:
    if x.values.is_cuda:
        return torch._scaled_mm(
            x.values,
            weight.values.t(),
            scale_a=x.scale,
            scale_b=weight.scale.t(),
            bias=bias,
            out_dtype=torch.bfloat16,
            use_fast_accum=True,
        )
    product = x.dequantize() @ weight.dequantize().t()
    return (product if bias is None else product + bias).to(torch.bfloat16)
