"""What each precision promises: encoders of the true shapes beside fair-esm itself and a dense DNABERT-S, both in fp32.

Random weights, for ESM-2 by fair-esm's initialisation; a thousand sequences each.
"""

import logging
from collections.abc import Callable
from functools import cache

import pytest
import torch

from benchmarks.reference import compare_vectors, vectors
from tests.helpers.blocks import dnabert_blocks, esm2_blocks
from virnucpro_kernels.bench.encoders import Batches, Encoder, Workload, convert, make_batches, make_encoder
from virnucpro_kernels.models.dnabert_s import DnabertS
from virnucpro_kernels.models.precisions import FP8_ATTENTION
from virnucpro_kernels.models.reference import ReferenceDnabertS, ReferenceEsm2
from virnucpro_kernels.ops.prepare import prepare

log = logging.getLogger(__name__)

GPU = torch.device("cuda")
SEQUENCES, BUDGET = 1000, 33_792
#: Tokens of a sequence; of ESM-2, 1 to 1,100 residues.
WORKLOADS = {"esm2-650m": Workload(3, 1102), "esm2-3b": Workload(3, 1102), "dnabert-s": Workload(3, 360)}
#: Cosine of the worst mean vector.
BOUNDS = {"fp32": 0.99999999, "fp16": 0.99999, "bf16": 0.9997, "fp8-ff": 0.999, "fp8": 0.995}
#: Mean cosine after the mean of all exact vectors is taken from both.
CENTRED_BOUNDS = {"fp32": 0.9999999, "fp16": 0.9999, "bf16": 0.99, "fp8-ff": 0.995, "fp8": 0.96}

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")]


@cache
def samples(name: str) -> Batches:
    return make_batches(WORKLOADS[name], SEQUENCES, BUDGET, 4096 if name == "dnabert-s" else 33, GPU)


def encoder_of(name: str, precision: str, attention: str) -> Encoder:
    prepare(GPU)
    encoder = make_encoder(name, GPU)
    convert(encoder, precision)
    for block in dnabert_blocks(encoder) if isinstance(encoder, DnabertS) else esm2_blocks(encoder):
        block.attention.backend = attention
    return encoder


@pytest.fixture(scope="module")
def exact() -> Callable[[str], torch.Tensor]:
    """The reference's vectors of the samples of an encoder, computed once."""

    @cache
    def compute(name: str) -> torch.Tensor:
        encoder = encoder_of(name, "fp32", "auto")
        if isinstance(encoder, DnabertS):
            return vectors(ReferenceDnabertS(encoder), samples(name))
        pytest.importorskip("esm")
        return vectors(ReferenceEsm2(encoder), samples(name))

    return compute


@pytest.mark.parametrize(
    ("name", "precision", "attention"),
    [
        ("esm2-650m", "fp32", "triton"),
        ("esm2-650m", "fp32", "sdpa"),
        *(
            ("esm2-650m", precision, attention)
            for precision in ("fp16", "bf16", "fp8-ff", "fp8")
            for attention in ("triton", "flash", "sdpa")
        ),
        *(("esm2-3b", "fp16", attention) for attention in ("triton", "flash", "sdpa")),
        ("esm2-3b", "bf16", "triton"),
        ("esm2-3b", "fp8-ff", "triton"),
        ("esm2-3b", "fp8", "triton"),
        *(
            ("dnabert-s", precision, attention)
            for precision in ("fp32", "fp16", "bf16")
            for attention in ("triton", "sdpa")
        ),
        *((name, precision, "flash-attn") for name in ("esm2-650m", "dnabert-s") for precision in ("fp16", "bf16")),
    ],
)
def test_vectors_are_those_of_the_reference(
    name: str, precision: str, attention: str, exact: Callable[[str], torch.Tensor]
) -> None:
    if precision in FP8_ATTENTION and torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("needs compute capability 8.9")
    if attention == "flash-attn":
        pytest.importorskip("flash_attn")
    found = compare_vectors(
        precision, False, vectors(encoder_of(name, precision, attention), samples(name)), exact(name)
    )
    log.info("%s %s %s: worst cosine %.9f, mean %.9f", name, precision, attention, found.worst, found.mean)
    log.info("centred: worst %.9f, mean %.9f", found.centred_worst, found.centred_mean)
    assert found.sequences == SEQUENCES
    assert found.worst > BOUNDS[precision]
    assert found.centred_mean > CENTRED_BOUNDS[precision]
