"""Untrained encoders and a byte-pair tokenizer, each decided by a seed and, for the tokenizer, by the sequences."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import tokenizers
import torch

from training.codons import SPECIAL_TOKENS, save_tokenizer
from virnucpro_kernels.models.dnabert_s import DnabertConfig, DnabertS
from virnucpro_kernels.models.esm2 import Esm2, Esm2Config

VOCABULARY = 512

#: Two layers, two heads of 64: the released encoders' head dimension, so that the same kernels run.
PROTEIN = Esm2Config(layers=2, hidden=128, heads=2, feed_forward=512)
NUCLEOTIDE = DnabertConfig(layers=2, hidden=128, heads=2, feed_forward=512, vocabulary=VOCABULARY)

_Encoder = TypeVar("_Encoder", Esm2, DnabertS)


def make_tokenizer(sequences: Iterable[str], path: Path) -> None:
    """Learn byte pairs from DNA sequences; write them in the format of the published tokenizer."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=list(SPECIAL_TOKENS), initial_alphabet=list("ACGTN"), show_progress=False
    )
    tokenizer.train_from_iterator(sequences, trainer)
    save_tokenizer(tokenizer, path)


def make_protein_encoder(seed: int) -> Esm2:
    """Return an ESM-2 whose output depends on residues and their neighbourhoods in like measure.

    The stream of a pre-LayerNorm model is the sum of the embedding and all branches. With an embedding as large as the
    branches the mean over a protein is little more than its residue composition; a tenth of that brings out more.
    """
    return _initialise(Esm2(PROTEIN), seed, embedding_scale=0.1)


def make_nucleotide_encoder(seed: int) -> DnabertS:
    """Return a DNABERT-S; post-LayerNorm makes the scale of its embedding matter little."""
    return _initialise(DnabertS(NUCLEOTIDE), seed, embedding_scale=1.0)


def _initialise(encoder: _Encoder, seed: int, embedding_scale: float) -> _Encoder:
    """Give every parameter and stored buffer random values that fp16 holds exactly, but buffers, which stay fp32."""
    chance = torch.Generator().manual_seed(seed)
    buffers = {name for name, _ in encoder.named_buffers()}
    norms = {name for name, module in encoder.named_modules() if "norm" in name.rsplit(".", 1)[-1]}
    state = encoder.state_dict()
    for name, tensor in state.items():
        values = torch.randn(tensor.shape, generator=chance)
        owner, _, last = name.rpartition(".")
        if name == "embedding.weight":
            values *= embedding_scale
        elif owner in norms and last == "weight":
            values = 1 + 0.1 * values
        elif tensor.ndim == 2:
            values /= math.sqrt(tensor.shape[1])
        else:
            values *= 0.1
        state[name] = values if name in buffers else values.half().float()
    encoder.load_state_dict(state)
    return encoder.requires_grad_(False).eval()
