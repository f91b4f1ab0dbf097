"""ESM-2 with fp8 layers, emulated on the CPU: near the original, selectable by layer, and redone in fp32 if need be."""

import numpy as np
import pytest
import torch
from tiny import random_weights

from virnucpro_kernels.models.esm2 import Esm2, Esm2Config
from virnucpro_kernels.models.upcast import fp32_activations
from virnucpro_kernels.packing import PackedBatch, TokenArray, pack

LAYERS = 4


def encoder() -> Esm2:
    model = Esm2(Esm2Config(layers=LAYERS, hidden=128, heads=2, feed_forward=512)).requires_grad_(False).eval()
    random_weights(model)
    for block in model.blocks:  # an outlier channel, as trained models have them
        block.attention_norm.weight[7] = 12.0
    return model


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
        assert [block.feed_forward.up.is_fp8 for block in model.blocks] == [i not in keep for i in range(LAYERS)]
        distances.append(distance(model.embed(batch), exact))
    assert 1e-6 < distances[0] < 0.005
    assert distances[1] < distances[0]
    assert distances[2] < 1e-6


def test_weights_take_a_quarter_and_keep_their_names() -> None:
    model = encoder()
    names = list(model.state_dict())
    model.to_fp8()
    assert list(model.state_dict()) == names
    assert model.blocks[0].feed_forward.up.weight.element_size() == 1


def test_redoing_a_batch_uses_fp32_activations_and_puts_the_weights_back(batch: PackedBatch) -> None:
    exact = encoder().embed(batch)
    model = encoder()
    model.to_fp8()
    before = model.embed(batch)
    with fp32_activations(model):
        redone = model.embed(batch)
        assert distance(redone, exact) < distance(before, exact)
    assert torch.equal(model.embed(batch), before)
    expected = encoder()
    for ours, theirs in zip(model.blocks, expected.blocks, strict=True):
        for path in ("attention.qkv", "attention.out", "feed_forward.up", "feed_forward.down"):
            projection = theirs.get_submodule(path)
            projection.weight.copy_(ours.get_submodule(path).fp32_weight())
    assert distance(redone, expected.embed(batch)) < 1e-5
