"""Encoders of the true shapes with random weights, made on the device, and batches of random sequences for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.models import precisions
from virnucpro_kernels.models.dnabert_s import DnabertConfig, DnabertS
from virnucpro_kernels.models.esm2 import EMBEDDING_SCALE, Esm2, Esm2Config, TransformerBlock
from virnucpro_kernels.models.rounding import round_to_fp8
from virnucpro_kernels.models.tokenizers import ESM2_VOCABULARY, tokenize_proteins
from virnucpro_kernels.ops.packing import PackedBatch, TokenArray, pack, plan_batches, utilisation
from virnucpro_kernels.sequences.arrays import SequenceArray
from virnucpro_kernels.sequences.residues import draw_residues

CONFIGS: dict[str, Esm2Config | DnabertConfig] = {
    "esm2-8m": Esm2Config(6, 320, 20, 1280),
    "esm2-35m": Esm2Config(12, 480, 20, 1920),
    "esm2-150m": Esm2Config(30, 640, 20, 2560),
    "esm2-650m": Esm2Config(33, 1280, 20, 5120),
    "esm2-3b": Esm2Config(36, 2560, 40, 10240),
    "esm2-15b": Esm2Config(48, 5120, 40, 20480),
    "dnabert-s": DnabertConfig(12, 768, 12, 3072),
}
Encoder = Esm2 | DnabertS


def make_encoder(name: str, device: torch.device) -> Encoder:
    """Return an encoder of random weights (seed 0) in fp32 on `device`; an ESM-2 is initialised as fair-esm does it.

    Args:
        name: Key of `CONFIGS`.
        device: Device on which the weights are made and stay.
    """
    config = CONFIGS[name]
    torch.manual_seed(0)
    with device:
        encoder = Esm2(config) if isinstance(config, Esm2Config) else DnabertS(config)
    encoder.requires_grad_(False).eval().to(device)  # the tables of positions are made on the CPU
    if isinstance(encoder, Esm2):
        _initialise_as_fair_esm(encoder)
    return encoder


def _initialise_as_fair_esm(encoder: Esm2) -> None:
    """Initialise embeddings normally, attention by Xavier's rule with its gains, all else by PyTorch's default."""
    encoder.embedding.weight[1] = 0  # padding
    encoder.embedding.weight.mul_(EMBEDDING_SCALE)
    carried = torch.zeros_like(encoder.norm.carried_bias)
    for block in cast("list[TransformerBlock]", list(encoder.blocks)):
        for third in block.attention.qkv.weight.chunk(3):
            nn.init.xavier_uniform_(third, gain=1 / math.sqrt(2))
        nn.init.xavier_uniform_(block.attention.out.weight)
        block.attention_norm.carried_bias.copy_(carried)
        block.feed_forward_norm.carried_bias.copy_(carried)  # the output of attention begins with a bias of zero
        carried += torch.empty_like(carried).uniform_(-1, 1).mul_(encoder.config.feed_forward**-0.5)
    encoder.norm.carried_bias.copy_(carried)


def projections(block: nn.Module) -> list[nn.Linear]:
    """Return the four matrix products of a layer, in their order."""
    return [module for module in block.modules() if isinstance(module, nn.Linear)]


def flop_a_token(encoder: Encoder) -> float:
    """Return the floating-point operations of the matrix products for one token."""
    return sum(2.0 * layer.weight.numel() for block in encoder.blocks for layer in projections(block))


@dataclass(frozen=True)
class Workload:
    """Lengths of sequences, special tokens included: one length, or lengths evenly spread between two.

    Attributes:
        shortest, longest: Smallest and largest number of tokens of a sequence.
    """

    shortest: int
    longest: int

    @classmethod
    def parse(cls, text: str) -> Workload:
        """Read `168` or `40-350`.

        Raises:
            UsageError: `text` is not of that form, or a sequence would hold nothing but its two special tokens.
        """
        shortest, dash, longest = text.partition("-")
        ends = (shortest, longest) if dash else (shortest, shortest)
        if not all(end.isdecimal() for end in ends) or not 3 <= int(ends[0]) <= int(ends[1]):
            raise UsageError(f"--workload {text}: must be tokens of a sequence, 3 or more, as in 168 or 40-350")
        return cls(int(ends[0]), int(ends[1]))

    def __str__(self) -> str:
        return str(self.shortest) if self.shortest == self.longest else f"{self.shortest}-{self.longest}"

    def lengths(self, count: int) -> np.ndarray:
        """Return the lengths of `count` sequences, the same in every call."""
        return np.random.default_rng(0).integers(self.shortest, self.longest + 1, count)


@dataclass(frozen=True)
class Batches:
    """Packed batches on the device.

    Attributes:
        batches: Batches, padded to the budget.
        utilisation: Fraction of the budget that holds tokens.
    """

    batches: Sequence[PackedBatch]
    utilisation: float

    @property
    def tokens(self) -> int:
        """Number of tokens that belong to sequences."""
        return sum(int(batch.lengths.sum()) for batch in self.batches)

    @property
    def sequences(self) -> int:
        """Number of sequences in all batches."""
        return sum(len(batch.lengths) for batch in self.batches)


def make_batches(workload: Workload, count: int, budget: int, vocabulary: int, device: torch.device) -> Batches:
    """Pack `count` random sequences into batches and bring them to the device.

    Residues of ESM-2 are as frequent as in frames of real sequences, other tokens all alike.
    As in the engine, all batches are padded to the budget on a GPU, and to a multiple of 64 tokens on a CPU.
    """
    lengths = workload.lengths(count)
    offsets = np.concatenate(([0], lengths.cumsum()))
    tokens = _draw_tokens(int(offsets[-1]), vocabulary)
    plan = plan_batches(lengths, budget)
    sequences = TokenArray(tokens, offsets)
    multiple = budget if device.type == "cuda" else 64
    padded = [-(-int(lengths[part].sum()) // multiple) * multiple for part in plan]
    batches = [pack(sequences, part, total_tokens=total).to(device) for part, total in zip(plan, padded, strict=True)]
    return Batches(batches, utilisation(lengths, plan, budget))


def _draw_tokens(count: int, vocabulary: int) -> npt.NDArray[np.uint8]:
    if vocabulary == len(ESM2_VOCABULARY):
        return tokenize_proteins(SequenceArray.from_list([draw_residues("bench", count)])).tokens[1:-1].astype(np.uint8)
    first = min(4, vocabulary - 1)  # special tokens come first
    return np.random.default_rng(1).integers(first, min(vocabulary, 24), count).astype(np.uint8)


#: Names of `models.precisions` in which random weights are measured.
PRECISIONS = tuple(name for name in precisions.PRECISIONS if name != "reference")


def convert(encoder: Encoder, precision: str, *, keep: Sequence[int] = ()) -> None:
    """Convert an encoder of fp32 weights in place to `precision`, one of `PRECISIONS`.

    Args:
        encoder: Encoder; a DNABERT-S has no fp8, and is then fp16.
        precision: Precision.
        keep: Layers (from 0) that stay fp16 in `fp8-ff` and `fp8`.
    """
    if precision == "bf16":
        encoder.bfloat16()
    elif precision != "fp32":
        encoder.half()
    if precision in precisions.FP8_ATTENTION and isinstance(encoder, Esm2):
        round_to_fp8(encoder, attention=precisions.FP8_ATTENTION[precision], keep=keep)
