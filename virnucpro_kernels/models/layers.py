"""Layers that the networks share: a linear layer whose weights may be fp8, and rotary position tables in fp32."""

from collections.abc import Callable
from typing import Self

import torch
from torch import nn

from virnucpro_kernels.ops.attention import RopeTables
from virnucpro_kernels.ops.quantize import FP8, Operand, RowScaled, quantize_rows


class Projection(nn.Linear):
    """A linear layer that can hold its weights as e4m3 with a scale an output row; then its inputs are fp8 too.

    Attributes:
        weight_scale: Scale of each output row, fp32 (outputs, 1), or None where the weights are not fp8.
        input_factors: Factors by which the inputs are multiplied already (`quantize.quantize_columns`), fp32 (inputs,),
            or None.
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
        """Return the weights in fp32 (outputs, inputs), for inputs that are not multiplied by `input_factors`."""
        if not self.is_fp8 or self.weight_scale is None:
            return self.weight.float()
        weight = self.weight.float() * self.weight_scale
        return weight if self.input_factors is None else weight * self.input_factors


class ExactBuffers(nn.Module):
    """A module whose own buffers follow it to another device but stay fp32 under `half()` and `to(dtype)`."""

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        exact = dict(self.named_buffers(recurse=False))
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, buffer in exact.items():
            setattr(self, name, buffer.to(self.get_buffer(name).device))
        return self


def inverse_frequencies(head_dim: int, base: float = 10000.0) -> torch.Tensor:
    """Return one position's angle for each pair of channels, fp32 (head_dim / 2,) on the CPU (arXiv:2104.09864)."""
    channels = torch.arange(0, head_dim, 2, dtype=torch.float32, device="cpu")
    return 1.0 / base ** (channels / head_dim)


class Rope(ExactBuffers):
    """Cosine and sine tables that grow with the longest sequence seen.

    In fp16 the angles would be 0.026 rad off at position 166. The frequencies are part of a checkpoint, because one
    published in fp16 may hold rounded ones, and then the model was trained with those.
    """

    inverse_frequencies: torch.Tensor

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.register_buffer("inverse_frequencies", inverse_frequencies(head_dim))
        self._made_of: torch.Tensor | None = None
        self._tables = (torch.empty(0), torch.empty(0))

    def tables(self, length: int) -> RopeTables:
        """Return cosines and sines, fp32 (at least `length`, head_dim / 2) each: row p is position p."""
        if self._made_of is not self.inverse_frequencies or len(self._tables[0]) < length:
            rows = max(1024, 1 << (length - 1).bit_length())
            positions = torch.arange(rows, dtype=torch.float32, device=self.inverse_frequencies.device)
            angles = torch.outer(positions, self.inverse_frequencies)
            self._tables = angles.cos(), angles.sin()
            self._made_of = self.inverse_frequencies  # last: several threads may ask at a time
        return self._tables
