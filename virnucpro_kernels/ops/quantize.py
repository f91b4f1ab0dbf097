"""fp8 (e4m3) values with one fp32 scale a row: `values * scale` is what they stand for."""

from __future__ import annotations

from typing import NamedTuple

import torch

FP8 = torch.float8_e4m3fn
FP8_MAX = 448.0
#: Keeps the scale of an all-zero row finite.
SMALLEST_ROW_MAXIMUM = 1e-12


class RowScaled(NamedTuple):
    """An fp8 matrix with a scale a row."""

    values: torch.Tensor
    """e4m3 (rows, columns)"""
    scale: torch.Tensor
    """fp32 (rows, 1)"""

    def dequantize(self, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """What the values stand for, `dtype` (rows, columns)."""
        return (self.values.float() * self.scale).to(dtype)


def quantize_rows(x: torch.Tensor) -> RowScaled:
    """Scale each row so that its largest magnitude is the largest e4m3 number, and round.

    :param x: (rows, columns) of any floating type. Used for weights at load and as the reference of the kernels that
        quantise what they write.
    """
    x = x.float()
    maximum = x.abs().amax(dim=1, keepdim=True).clamp_min(SMALLEST_ROW_MAXIMUM)
    values = (x * (FP8_MAX / maximum)).clamp(-FP8_MAX, FP8_MAX).to(FP8)
    return RowScaled(values, maximum / FP8_MAX)
