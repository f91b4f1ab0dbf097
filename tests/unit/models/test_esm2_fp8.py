"""ESM-2 with fp8 products, emulated on the CPU: near the original, selectable by layer and part, biases corrected."""

import gzip
from copy import deepcopy
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from Bio import SeqIO
from torch.overrides import TorchFunctionMode

from tests.helpers.blocks import esm2_blocks
from tests.helpers.tiny import random_weights
from virnucpro_kernels.bench.encoders import Workload, make_batches
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.models.esm2 import CarriedLayerNorm, Esm2, Esm2Config
from virnucpro_kernels.models.layers import Projection
from virnucpro_kernels.models.rounding import round_to_fp8
from virnucpro_kernels.models.similarity import cosines
from virnucpro_kernels.models.tokenizers import tokenize_proteins
from virnucpro_kernels.models.upcast import fp32_activations
from virnucpro_kernels.ops.packing import PackedBatch, TokenArray, pack
from virnucpro_kernels.run.installation import demonstration
from virnucpro_kernels.sequences.arrays import SequenceArray
from virnucpro_kernels.weights.load import load_protein_encoder
from virnucpro_kernels.weights.registry import find_model

LAYERS = 4


def encoder() -> Esm2:
    model = Esm2(Esm2Config(layers=LAYERS, hidden=128, heads=2, feed_forward=512)).requires_grad_(False).eval()
    random_weights(model)
    for block in esm2_blocks(model):  # an outlier channel, as trained models have them
        block.attention_norm.weight[7] = 12.0
    return model


def projections(model: Esm2) -> list[Projection]:
    return [module for module in model.blocks.modules() if isinstance(module, Projection)]


def norms(model: Esm2) -> list[CarriedLayerNorm]:
    return [module for module in model.modules() if isinstance(module, CarriedLayerNorm)]


@pytest.fixture(scope="module")
def batch() -> PackedBatch:
    rng = np.random.default_rng(0)
    lengths = np.array([3, 30, 61, 120])
    tokens = rng.integers(4, 24, lengths.sum()).astype(np.uint8)
    return pack(TokenArray(tokens, np.concatenate(([0], lengths.cumsum()))), slice(0, 4), total_tokens=220)


def distance(ours: torch.Tensor, exact: torch.Tensor) -> float:
    return float(1 - torch.nn.functional.cosine_similarity(ours, exact).min())


@pytest.fixture(scope="module")
def exact(batch: PackedBatch) -> torch.Tensor:
    return encoder().embed(batch)


@cache
def _rounded(attention: bool, keep: tuple[int, ...], dtype: torch.dtype) -> Esm2:
    model = encoder().to(dtype)
    round_to_fp8(model, attention=attention, keep=keep)
    return model


def rounded(*, attention: bool = True, keep: tuple[int, ...] = (), dtype: torch.dtype = torch.float32) -> Esm2:
    return deepcopy(_rounded(attention, keep, dtype))


def test_fp8_is_near_and_nearer_the_fewer_layers_are_fp8(batch: PackedBatch, exact: torch.Tensor) -> None:
    distances = []
    for keep in ((), (0, 1), tuple(range(LAYERS))):
        model = rounded(keep=keep)
        assert [block.feed_forward.up.is_fp8 for block in esm2_blocks(model)] == [i not in keep for i in range(LAYERS)]
        distances.append(distance(model.embed(batch), exact))
    assert 1e-6 < distances[0] < 0.005
    assert distances[1] < distances[0]
    assert distances[2] < 1e-6


def test_the_feed_forward_alone_may_be_fp8_and_costs_less(batch: PackedBatch, exact: torch.Tensor) -> None:
    model = rounded(attention=False, keep=(0, 1))
    fp8 = [(block.attention.qkv.is_fp8, block.attention.out.is_fp8, block.feed_forward.up.is_fp8,
            block.feed_forward.down.is_fp8) for block in esm2_blocks(model)]  # fmt: skip
    assert fp8 == [(False, False, index > 1, index > 1) for index in range(LAYERS)]
    assert 1e-6 < distance(model.embed(batch), exact) < distance(rounded(keep=(0, 1)).embed(batch), exact) / 2


@pytest.mark.parametrize("attention", [True, False])
def test_corrected_biases_bring_vectors_nearer(attention: bool) -> None:
    """Of other sequences than those of the correction."""
    sequences = make_batches(Workload(20, 200), 60, 4096, 33, torch.device("cpu")).batches

    def vectors(model: Esm2) -> np.ndarray:
        return torch.cat([model.embed(each)[: len(each.lengths)] for each in sequences]).numpy()

    expected, plain = vectors(encoder()), encoder()
    for block in esm2_blocks(plain):
        block.to_fp8(attention=attention)
    without, corrected = (cosines(vectors(each), expected) for each in (plain, rounded(attention=attention)))
    assert 1 - corrected.mean < 0.5 * (1 - without.mean)
    assert 1 - corrected.worst < 0.7 * (1 - without.worst)
    assert 1 - corrected.centred_mean < 0.5 * (1 - without.centred_mean)


@pytest.mark.parametrize("attention", [True, False])
def test_corrected_biases_bring_vectors_of_a_trained_encoder_no_farther(attention: bool) -> None:
    """Of the frames of real sequences, the average of which is what the correction is made for."""
    with gzip.open(demonstration(), "rt") as file:
        windows = [record.seq[:498] for record in SeqIO.parse(file, "fasta") if len(record.seq) >= 498]
    segments = [max(str(each.translate()).split("*"), key=len).encode() for each in windows]
    proteins = tokenize_proteins(SequenceArray.from_list([each for each in segments if len(each) >= 30]))
    batch = pack(proteins, slice(0, len(proteins.lengths)))
    model = find_model("compact-500")
    trained, plain, corrected = (load_protein_encoder(model, "cpu", torch.float32) for _ in range(3))
    for block in esm2_blocks(plain):
        block.to_fp8(attention=attention)
    round_to_fp8(corrected, attention=attention)
    expected = trained.embed(batch).numpy()
    without, found = (cosines(each.embed(batch).numpy(), expected) for each in (plain, corrected))
    assert 1 - found.mean < (0.8 if attention else 1.2) * (1 - without.mean)
    assert 1 - found.worst < (0.9 if attention else 1.2) * (1 - without.worst)
    assert 1 - found.centred_mean < (0.95 if attention else 1.2) * (1 - without.centred_mean)


def test_rounding_again_gives_the_same_bits(batch: PackedBatch) -> None:
    again = encoder()
    round_to_fp8(again)
    assert torch.equal(again.embed(batch), rounded().embed(batch))


def test_where_numbers_overflow_nothing_can_be_corrected() -> None:
    model = encoder()
    esm2_blocks(model)[2].feed_forward.down.weight *= 1e38
    with pytest.raises(UsageError, match="overflow fp16; choose bf16 or fp32"):
        round_to_fp8(model)


def test_weights_take_a_quarter_and_keep_their_names() -> None:
    model = rounded()
    assert list(model.state_dict()) == list(encoder().state_dict())
    assert esm2_blocks(model)[0].feed_forward.up.weight.element_size() == 1


def test_recomputing_a_batch_uses_fp32_activations_and_puts_the_weights_back(
    batch: PackedBatch, exact: torch.Tensor
) -> None:
    model = rounded()
    before = model.embed(batch)
    with fp32_activations(model):
        recomputed = model.embed(batch)
        assert distance(recomputed, exact) < distance(before, exact)
    assert torch.equal(model.embed(batch), before)
    expected = encoder()
    for ours, theirs in zip(projections(model), projections(expected), strict=True):
        theirs.weight.copy_(ours.fp32_weight())
        if theirs.bias is not None:
            theirs.bias.copy_(ours.bias)
    for corrected, plain in zip(norms(model), norms(expected), strict=True):
        plain.carried_bias.copy_(corrected.carried_bias)
    assert distance(recomputed, expected.embed(batch)) < 1e-5


@pytest.mark.parametrize("precision", ["fp16", "fp8"])
@pytest.mark.parametrize("fails_at", [0, 1, 9, 25])  # embeddings, first and later blocks
def test_where_memory_runs_out_while_weights_are_widened_they_are_put_back(
    batch: PackedBatch, precision: str, fails_at: int
) -> None:
    model = encoder().half() if precision == "fp16" else rounded(keep=(0,), dtype=torch.float16)
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
