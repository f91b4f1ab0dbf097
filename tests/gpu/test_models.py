"""Both encoders on a GPU, in every precision and with every attention backend, against fp32 on the CPU."""

from dataclasses import replace
from typing import TypeVar

import numpy as np
import pytest
import torch
from torch.nn import functional

from virnucpro_kernels.bench.encoders import convert
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.models.dnabert_s import DnabertConfig, DnabertS
from virnucpro_kernels.models.esm2 import Esm2, Esm2Config
from virnucpro_kernels.models.precisions import FP8_ATTENTION
from virnucpro_kernels.models.upcast import fp32_activations
from virnucpro_kernels.ops.packing import PackedBatch, TokenArray, pack

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")]

LENGTHS = (3, 4, 17, 54, 64, 65, 129, 168, 168, 193, 352, 385, 1026, 1102, 1300)
EncoderT = TypeVar("EncoderT", Esm2, DnabertS)
#: Distance (1 − cosine) of the worst mean vector. bf16 has eight times fp16's rounding, fp8 a hundred times.
BOUND = {"fp32": 1e-9, "fp16": 1e-5, "bf16": 3e-4, "fp8-ff": 1e-3, "fp8": 5e-3}


def batch(vocabulary: int) -> PackedBatch:
    rng = np.random.default_rng(0)
    lengths = rng.permutation(LENGTHS)
    tokens = rng.integers(4, min(vocabulary, 24), lengths.sum()).astype(np.uint8)
    arrays = TokenArray(tokens, np.concatenate(([0], lengths.cumsum())))
    return pack(arrays, slice(0, len(lengths)), total_tokens=-(-int(lengths.sum()) // 128) * 128)


def esm2(attention: str = "auto") -> Esm2:
    torch.manual_seed(0)
    encoder = Esm2(Esm2Config(layers=4, hidden=640, heads=10, feed_forward=2560), attention=attention)
    _randomize_norms(encoder)
    return encoder.requires_grad_(False).eval()


def dnabert(attention: str = "auto") -> DnabertS:
    torch.manual_seed(0)
    encoder = DnabertS(DnabertConfig(layers=3, hidden=384, heads=6, feed_forward=1536), attention=attention)
    _randomize_norms(encoder)
    return encoder.requires_grad_(False).eval()


def _randomize_norms(encoder: torch.nn.Module) -> None:
    """Give all LayerNorms parameters and carried biases that matter."""
    for name, tensor in encoder.state_dict().items():
        if "norm" in name:
            noise = torch.randn(tensor.shape) * 0.2
            tensor.copy_(1 + noise if name.endswith("weight") else noise)


def on_gpu(encoder: EncoderT, precision: str) -> EncoderT:
    convert(encoder.cuda(), precision)
    return encoder


def distance(ours: torch.Tensor, exact: torch.Tensor) -> float:
    real = slice(0, len(LENGTHS))
    assert torch.isfinite(ours).all()
    assert (ours[len(LENGTHS) :] == 0).all()
    return float(1 - functional.cosine_similarity(ours[real].cpu().double(), exact[real].double(), dim=1).min())


@pytest.fixture(scope="module")
def exact_esm2() -> torch.Tensor:
    return esm2().embed(batch(33))


@pytest.fixture(scope="module")
def exact_dnabert() -> torch.Tensor:
    return dnabert().embed(batch(4096))


def skip_what_is_missing(precision: str, attention: str) -> None:
    if attention == "flash-attn":
        pytest.importorskip("flash_attn")
    if precision in FP8_ATTENTION and torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("needs compute capability 8.9")


@pytest.mark.parametrize("attention", ["triton", "flash", "flash-attn", "sdpa"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "fp8-ff", "fp8"])
def test_esm2(precision: str, attention: str, exact_esm2: torch.Tensor) -> None:
    skip_what_is_missing(precision, attention)
    encoder = on_gpu(esm2(attention), precision)
    if precision == "fp32" and attention.startswith("flash"):
        with pytest.raises(UsageError, match="fp16 and bf16 only"):
            encoder.embed(batch(33).to("cuda"))
        return
    assert distance(encoder.embed(batch(33).to("cuda")), exact_esm2) < BOUND[precision]


@pytest.mark.parametrize("attention", ["triton", "flash-attn", "sdpa"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_dnabert(precision: str, attention: str, exact_dnabert: torch.Tensor) -> None:
    skip_what_is_missing(precision, attention)
    if precision == "fp32" and attention == "flash-attn":
        pytest.skip("flash-attn has no fp32")
    encoder = on_gpu(dnabert(attention), precision)
    assert distance(encoder.embed(batch(4096).to("cuda")), exact_dnabert) < BOUND[precision]


@pytest.mark.parametrize("precision", ["fp16", "fp8-ff", "fp8"])
def test_redoing_a_batch_with_fp32_activations(precision: str, exact_esm2: torch.Tensor) -> None:
    skip_what_is_missing(precision, "auto")
    encoder = on_gpu(esm2(), precision)
    packed = batch(33).to("cuda")
    before = encoder.embed(packed)
    with fp32_activations(encoder):
        recomputed = encoder.embed(packed)
    assert distance(recomputed, exact_esm2) < distance(before, exact_esm2)
    assert torch.equal(encoder.embed(packed), before)


@pytest.mark.parametrize("precision", ["fp16", "fp8-ff", "fp8"])
def test_a_sequence_does_not_notice_the_rest_of_its_batch(precision: str) -> None:
    """Same shapes, other neighbours: the same bits."""
    skip_what_is_missing(precision, "auto")
    encoder = on_gpu(esm2(), precision)
    first = batch(33)
    tokens = first.tokens.clone()
    start = int(first.lengths[0])
    tokens[start:] = torch.roll(tokens[start:], 1)
    other = replace(first, tokens=tokens)
    assert torch.equal(encoder.embed(first.to("cuda"))[0], encoder.embed(other.to("cuda"))[0])
