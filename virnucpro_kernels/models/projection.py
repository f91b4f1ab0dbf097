"""A linear layer whose weights may be fp8."""

from __future__ import annotations

import torch
from torch import nn

from virnucpro_kernels.ops.linear import Operand
from virnucpro_kernels.ops.quantize import FP8, RowScaled, quantize_rows


class Projection(nn.Linear):
    """A linear layer that can hold its weights as e4m3 with a scale an output row; then its inputs are fp8 too.

    Attributes:
        weight_scale: fp32 (outputs, 1), or None where the weights are not fp8.
        input_factors: fp32 (inputs,), what the inputs come multiplied by (`quantize.quantize_columns`), or None.
    """

    weight_scale: torch.Tensor | None
    input_factors: torch.Tensor | None

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, bias=bias)
        self.register_buffer("weight_scale", None, persistent=False)
        self.register_buffer("input_factors", None, persistent=False)

    @property
    def is_fp8(self) -> bool:
        """Whether the weights are fp8 now."""
        return self.weight.dtype == FP8

    @property
    def operand(self) -> Operand:
        """The weights, as `ops.linear` takes them."""
        if self.is_fp8 and self.weight_scale is not None:
            return RowScaled(self.weight, self.weight_scale)
        return self.weight

    def to_fp8(self, input_factors: torch.Tensor | None = None) -> None:
        """Round the weights to fp8, once; the bias becomes bf16, which is what fp8 products return."""
        weight = self.weight.data.float()
        quantized = quantize_rows(weight if input_factors is None else weight / input_factors)
        self.weight.data, self.weight_scale, self.input_factors = quantized.values, quantized.scale, input_factors
        if self.bias is not None:
            self.bias.data = self.bias.data.bfloat16()

    def fp32_weight(self) -> torch.Tensor:
        """The weights in fp32 (outputs, inputs), for inputs that are not multiplied by `input_factors`."""
        if not self.is_fp8 or self.weight_scale is None:
            return self.weight.float()
        weight = self.weight.float() * self.weight_scale
        return weight if self.input_factors is None else weight * self.input_factors
