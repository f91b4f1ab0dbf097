"""fp8 (e4m3) values with one fp32 scale a row: they stand for `values * scale`."""

from typing import NamedTuple

import torch

FP8 = torch.float8_e4m3fn
FP8_MAX = 448.0
#: Keeps the scale of an all-zero row finite.
SMALLEST_ROW_MAXIMUM = 1e-12


class RowScaled(NamedTuple):
    """An fp8 matrix with a scale a row.

    Attributes:
        values: Numbers, e4m3 (rows, columns).
        scale: Factors of the rows, fp32 (rows, 1).
    """

    values: torch.Tensor
    scale: torch.Tensor

    def dequantize(self, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Return the numbers that the values stand for, `dtype` (rows, columns)."""
        return (self.values.float() * self.scale).to(dtype)


#: Matrix that a product takes and a kernel before it writes.
Operand = torch.Tensor | RowScaled


def _to_fp8(x: torch.Tensor) -> torch.Tensor:
    return x.clamp(-FP8_MAX, FP8_MAX).to(FP8)


def quantize_rows(x: torch.Tensor) -> RowScaled:
    """Scale each row so that its largest magnitude is the largest e4m3 number, and round.

    Used for weights at load, and as the reference of kernels with fp8 output.

    Args:
        x: Matrix, (rows, columns) of any floating type.
    """
    x = x.float()
    maximum = x.abs().amax(dim=1, keepdim=True).clamp_min(SMALLEST_ROW_MAXIMUM)
    return RowScaled(_to_fp8(x * (FP8_MAX / maximum)), maximum / FP8_MAX)


def quantize_columns(x: torch.Tensor, factors: torch.Tensor) -> RowScaled:
    """Scale each column by a constant and round; the scale of every row is 1.

    The product that comes next has weights divided by these factors. e4m3 is a floating format, so a factor that is
    far too small costs no precision over some 15 octaves; what matters is that nothing saturates. So attention can
    write fp8 without knowing a row's maximum, which is spread over its heads (`attention_factors`).

    Args:
        x: Matrix, (rows, columns) of any floating type.
        factors: Factors of the columns, fp32 (columns,).
    """
    return RowScaled(_to_fp8(x.float() * factors), torch.ones(len(x), 1, dtype=torch.float32, device=x.device))


def attention_factors(
    value_weight: torch.Tensor, value_bias: torch.Tensor, ln_weight: torch.Tensor, ln_bias: torch.Tensor
) -> torch.Tensor:
    """Return the largest factors with which no output of attention over values W · LayerNorm(x) + b saturates e4m3.

    Attention returns a mean of values, so no channel exceeds its largest value; and a normalised vector of d numbers
    has a norm of at most sqrt(d), so by Cauchy and Schwarz |value| <= sqrt(d) · ‖W ∘ weight‖ + |W · bias + b|.

    Args:
        value_weight: Weights W, (channels, d).
        value_bias: Bias b, (channels,).
        ln_weight: Weight of the LayerNorm, (d,).
        ln_bias: Bias of the LayerNorm, (d,).

    Returns:
        fp32 (channels,).
    """
    weight = value_weight.float()
    reach: torch.Tensor = torch.linalg.vector_norm(weight * ln_weight.float(), dim=1) * weight.shape[1] ** 0.5
    bound = reach + (weight @ ln_bias.float() + value_bias.float()).abs()
    return FP8_MAX / bound.clamp_min(SMALLEST_ROW_MAXIMUM)
