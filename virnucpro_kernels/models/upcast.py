"""Running a 16-bit or fp8 encoder with fp32 activations, without an fp32 copy of all its weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from virnucpro_kernels.models.layers import Projection
from virnucpro_kernels.ops.dispatch import SIXTEEN_BIT


@contextmanager
def fp32_activations(encoder: nn.Module) -> Iterator[None]:
    """Let `encoder` compute in fp32 during the block.

    The blocks of its layers (the members of its `ModuleList`s) have fp32 weights only while they run; the modules
    outside of them, embeddings and norms, are small and have them all the time. Afterwards the very same weights are
    back. Attention takes any backend that computes in fp32.
    """
    layers = [layer for child in encoder.children() if isinstance(child, nn.ModuleList) for layer in child]
    rest = [child for child in encoder.children() if not isinstance(child, nn.ModuleList)]
    backends = {module: vars(module)["backend"] for module in encoder.modules() if "backend" in vars(module)}
    outside: _Weights = []
    running: dict[nn.Module, _Weights] = {}

    def before(layer: nn.Module, _: Any) -> None:
        _to_fp32(layer, running.setdefault(layer, []))

    def after(layer: nn.Module, _: Any, output: Any) -> None:
        _restore(running.pop(layer))

    hooks: list[RemovableHandle] = []
    try:
        for layer in layers:
            hooks += [layer.register_forward_pre_hook(before), layer.register_forward_hook(after)]
        for child in rest:
            _to_fp32(child, outside)
        for module in backends:
            vars(module)["backend"] = "auto"
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for weights in (outside, *running.values()):
            _restore(weights)
        for module, backend in backends.items():
            vars(module)["backend"] = backend


_Weights = list[tuple[torch.Tensor, torch.Tensor]]


def _to_fp32(module: nn.Module, lower: _Weights) -> None:
    """Widen the weights of `module`; add each with its earlier data to `lower` at once: memory may run out half-way."""
    for part in module.modules():
        if isinstance(part, Projection) and part.is_fp8:
            _replace(part.weight, part.fp32_weight(), lower)
    for weight in module.parameters():
        if weight.dtype in SIXTEEN_BIT:
            _replace(weight, weight.data.float(), lower)


def _replace(weight: torch.Tensor, exact: torch.Tensor, lower: _Weights) -> None:
    lower.append((weight, weight.data))
    weight.data = exact


def _restore(weights: _Weights) -> None:
    for weight, data in weights:
        weight.data = data
