"""The reference encoders give what the packed ones give."""

import pytest
import torch

from tests.helpers import tiny
from tests.helpers.blocks import esm2_blocks
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.models.esm2 import Esm2, Esm2Config
from virnucpro_kernels.models.reference import ReferenceDnabertS, ReferenceEsm2
from virnucpro_kernels.models.tokenizers import tokenize_proteins
from virnucpro_kernels.ops.packing import PackedBatch, TokenArray, pack
from virnucpro_kernels.sequences.arrays import SequenceArray


def packed(tokens: TokenArray) -> PackedBatch:
    return pack(tokens, slice(0, len(tokens)), total_tokens=int(tokens.offsets[-1]) + 5)


@pytest.mark.parametrize("lengths", [(1, 2), (20, 90), (1024, 1100)])
def test_esm2_of_fair_esm(lengths: tuple[int, int]) -> None:
    encoder = tiny.protein_encoder()
    # Training may have moved it from zero.
    esm2_blocks(encoder)[0].attention_norm.carried_bias += torch.linspace(-1, 1, tiny.PROTEIN_DIMENSION)
    batch = packed(tokenize_proteins(SequenceArray.from_list(tiny.random_proteins(4, lengths, 1))))
    expected = ReferenceEsm2(encoder).embed(batch)
    torch.testing.assert_close(encoder.embed(batch), expected, atol=1e-5, rtol=0)


def test_dnabert_s_by_dense_attention() -> None:
    encoder = tiny.nucleotide_encoder()
    tokens = torch.randint(0, tiny.VOCABULARY, (140,)).numpy().astype("uint16")
    batch = packed(TokenArray(tokens, torch.tensor([0, 1, 40, 42, 140]).numpy()))
    torch.testing.assert_close(encoder.embed(batch), ReferenceDnabertS(encoder).embed(batch), atol=1e-5, rtol=0)


def test_a_shape_that_fair_esm_does_not_have_is_refused() -> None:
    with pytest.raises(UsageError, match="fair-esm has no ESM-2"):
        ReferenceEsm2(Esm2(Esm2Config(1, 16, 2, 24)))
