"""Matrix products by cuBLAS, or the BLAS of the CPU: fp32, fp16, bf16, and fp8 with a scale a row of both operands.

The product before a GELU may be our own kernel, see `linear_gelu`.
"""

import torch
from torch.nn import functional

from virnucpro_kernels.ops.quantize import Operand, RowScaled


def linear(x: Operand, weight: Operand, bias: torch.Tensor | None = None) -> torch.Tensor:
    """`x @ weight.T + bias`.

    Args:
        x: Input, (T, in) of the type of the weight, or `RowScaled` where the weight is. In fp32 it is rounded for a
            weight in bf16: so CPUs compute.
        weight: Weights, (out, in), or `RowScaled` with a scale an output row.
        bias: Bias, (out,) of the type of the result.

    Returns:
        (T, out) in the type of the weight; bf16 from fp8 operands, which both cuBLAS and CUTLASS offer for row scales.

    Raises:
        TypeError: only one operand is fp8; the kernel that writes `x` has to quantise it.
    """
    if isinstance(x, RowScaled) and isinstance(weight, RowScaled):
        return _linear_fp8(x, weight, bias)
    if isinstance(x, RowScaled) or isinstance(weight, RowScaled):
        raise TypeError("linear: both operands must be fp8, or none")
    if x.dtype == torch.float32 and weight.dtype == torch.bfloat16:
        x = x.bfloat16()
    return functional.linear(x, weight, bias)


def linear_add(x: Operand, weight: Operand, residual: torch.Tensor) -> torch.Tensor | None:
    """Add the product of a residual branch to the residual, without its bias, which the next LayerNorm adds.

    Args:
        x: Input, (T, in).
        weight: Weights, (out, in).
        residual: Residual stream, (T, out) of the type of the weight or wider.

    Returns:
        None where `residual += x @ weight.T` has happened in place. With fp8 operands cuBLAS cannot add to its output;
        then the product (T, out), for `residual_layernorm` to add.
    """
    if isinstance(x, RowScaled):
        return linear(x, weight)
    if isinstance(weight, RowScaled):
        raise TypeError("linear_add: both operands must be fp8, or none")
    if residual.dtype == weight.dtype:
        torch.addmm(residual, x, weight.t(), out=residual)
    else:
        residual += linear(x, weight)
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
