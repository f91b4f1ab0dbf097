"""ESM-2 with fp8 layers, emulated on the CPU: near the original, selectable by layer, recomputed in fp32 if need be."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from tests.helpers.blocks import esm2_blocks
from tests.helpers.tiny import random_weights
from virnucpro_kernels.models.esm2 import Esm2, Esm2Config
from virnucpro_kernels.models.layers import Projection
from virnucpro_kernels.models.upcast import fp32_activations
from virnucpro_kernels.ops.packing import PackedBatch, TokenArray, pack

LAYERS = 4


def encoder() -> Esm2:
    model = Esm2(Esm2Config(layers=LAYERS, hidden=128, heads=2, feed_forward=512)).requires_grad_(False).eval()
    random_weights(model)
    for block in esm2_blocks(model):  # an outlier channel, as trained models have them
        block.attention_norm.weight[7] = 12.0
    return model


def projections(model: Esm2) -> list[Projection]:
    return [module for module in model.blocks.modules() if isinstance(module, Projection)]


@pytest.fixture(scope="module")
def batch() -> PackedBatch:
    rng = np.random.default_rng(0)
    lengths = np.array([3, 30, 61, 120])
    tokens = rng.integers(4, 24, lengths.sum()).astype(np.uint8)
    return pack(TokenArray(tokens, np.concatenate(([0], lengths.cumsum()))), slice(0, 4), total_tokens=220)


def distance(ours: torch.Tensor, exact: torch.Tensor) -> float:
    return float(1 - torch.nn.functional.cosine_similarity(ours, exact).min())


def test_fp8_is_near_and_nearer_the_fewer_layers_are_fp8(batch: PackedBatch) -> None:
    exact = encoder().embed(batch)
    distances = []
    for keep in ((), (0, 1), range(LAYERS)):
        model = encoder()
        model.to_fp8(keep=keep)
        assert [block.feed_forward.up.is_fp8 for block in esm2_blocks(model)] == [i not in keep for i in range(LAYERS)]
        distances.append(distance(model.embed(batch), exact))
    assert 1e-6 < distances[0] < 0.005
    assert distances[1] < distances[0]
    assert distances[2] < 1e-6


def test_weights_take_a_quarter_and_keep_their_names() -> None:
    model = encoder()
    names = list(model.state_dict())
    model.to_fp8()
    assert list(model.state_dict()) == names
    assert esm2_blocks(model)[0].feed_forward.up.weight.element_size() == 1


def test_recomputing_a_batch_uses_fp32_activations_and_puts_the_weights_back(batch: PackedBatch) -> None:
    exact = encoder().embed(batch)
    model = encoder()
    model.to_fp8()
    before = model.embed(batch)
    with fp32_activations(model):
        recomputed = model.embed(batch)
        assert distance(recomputed, exact) < distance(before, exact)
    assert torch.equal(model.embed(batch), before)
    expected = encoder()
    for ours, theirs in zip(projections(model), projections(expected), strict=True):
        theirs.weight.copy_(ours.fp32_weight())
    assert distance(recomputed, expected.embed(batch)) < 1e-5


@pytest.mark.parametrize("precision", ["fp16", "fp8"])
@pytest.mark.parametrize("fails_at", [0, 1, 9, 25])  # embeddings, first and later blocks
def test_where_memory_runs_out_while_weights_are_widened_they_are_put_back(
    batch: PackedBatch, precision: str, fails_at: int
) -> None:
    model = encoder().half()
    if precision == "fp8":
        model.to_fp8(keep=(0,))
    before = model.embed(batch)
    types = [weight.dtype for weight in model.parameters()]
    with pytest.raises(torch.OutOfMemoryError), ShortOfMemory(fails_at), fp32_activations(model):
        model.embed(batch)
    assert [weight.dtype for weight in model.parameters()] == types
    assert torch.equal(model.embed(batch), before)


class ShortOfMemory(TorchFunctionMode):
    """Lets memory run out at the conversion to fp32 after so many others."""

    def __init__(self, conversions: int) -> None:
        super().__init__()
        self.left = conversions

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.float and args[0].dtype != torch.float32:
            if not self.left:
                raise torch.OutOfMemoryError("CUDA out of memory")
            self.left -= 1
        return func(*args, **(kwargs or {}))
