"""What each precision promises: ESM-2 with fair-esm's initialisation beside fair-esm itself in fp32, many sequences."""

import pytest
import torch

from virnucpro_kernels.bench.accuracy import compare, vectors
from virnucpro_kernels.bench.encoders import Batches, Workload, convert, make_batches, make_encoder
from virnucpro_kernels.models.esm2 import Esm2
from virnucpro_kernels.models.reference import ReferenceEsm2

GPU = torch.device("cuda")
ENCODER, SEQUENCES, BUDGET = "esm2-650m", 1000, 33_792

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")]


def encoder_of(precision: str, attention: str) -> Esm2:
    encoder = make_encoder(ENCODER, GPU)
    assert isinstance(encoder, Esm2)
    convert(encoder, precision)
    for block in encoder.blocks:
        block.attention.backend = attention
    return encoder


@pytest.fixture(scope="module")
def samples() -> Batches:
    """Of 1 to 1,100 residues."""
    return make_batches(Workload(3, 1102), SEQUENCES, BUDGET, 33, GPU)


@pytest.fixture(scope="module")
def exact(samples: Batches) -> torch.Tensor:
    pytest.importorskip("esm")
    return vectors(ReferenceEsm2(encoder_of("fp32", "auto")), samples)


@pytest.mark.parametrize(
    ("precision", "attention", "cosine"),
    [
        ("fp32", "triton", 0.99999999),
        ("fp16", "triton", 0.99999),
        ("fp16", "flash", 0.99999),
        ("fp16", "sdpa", 0.99999),
        ("bf16", "triton", 0.9997),
        ("fp8", "triton", 0.99),
    ],
)
def test_vectors_are_those_of_fair_esm(
    samples: Batches, exact: torch.Tensor, precision: str, attention: str, cosine: float
) -> None:
    if precision == "fp8" and torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("needs compute capability 8.9")
    found = compare(precision, False, vectors(encoder_of(precision, attention), samples), exact)
    assert found.sequences == SEQUENCES
    assert found.worst > cosine
