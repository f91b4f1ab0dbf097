"""What the engine's speed is held against: the ceiling, the matrix products of all layers with nothing between them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from torch import nn

from virnucpro_kernels.bench.encoders import Encoder, projections
from virnucpro_kernels.models.layers import Projection
from virnucpro_kernels.ops.linear import linear
from virnucpro_kernels.ops.quantize import Operand, RowScaled, quantize_rows


def matrix_products(encoder: Encoder, tokens: int) -> Callable[[], None]:
    """Return a function that runs all matrix products of an encoder once, at the engine's own shapes and types.

    The inputs are normal random numbers, because a GPU multiplies zeros and constants faster. Where the library can
    write into a given tensor, it gets one, so that nothing but the product is timed.

    Args:
        encoder: Encoder in the precision to measure.
        tokens: Number of rows of the activations.
    """
    inputs: dict[tuple[int, bool], Operand] = {}
    calls: list[Callable[[], object]] = []
    results: dict[int, torch.Tensor] = {}
    for block in encoder.blocks:
        for layer in projections(block):
            x = _input(layer, tokens, inputs)
            if isinstance(x, RowScaled):
                calls.append(partial(linear, x, cast(Projection, layer).operand))
            else:
                width = layer.out_features
                result = results.setdefault(width, torch.empty(tokens, width, dtype=x.dtype, device=x.device))
                calls.append(partial(torch.mm, x, layer.weight.t(), out=result))

    @torch.inference_mode()
    def run() -> None:
        for call in calls:
            call()

    return run


def _input(layer: nn.Linear, tokens: int, made: dict[tuple[int, bool], Operand]) -> Operand:
    fp8 = isinstance(layer, Projection) and layer.is_fp8
    key = (layer.in_features, fp8)
    if key not in made:
        generator = torch.Generator(layer.weight.device).manual_seed(layer.in_features)
        dtype = torch.float32 if fp8 else layer.weight.dtype
        x = torch.empty(tokens, layer.in_features, dtype=dtype, device=layer.weight.device).normal_(generator=generator)
        made[key] = quantize_rows(x) if fp8 else x
    return made[key]
