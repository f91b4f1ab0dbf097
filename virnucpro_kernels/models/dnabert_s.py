"""DNABERT-2 and DNABERT-S on packed batches: a post-LayerNorm transformer with ALiBi and gated feed-forward layers.

The architecture is MosaicBERT's (arXiv:2306.15006, arXiv:2312.17482). Activations are flat, (tokens, hidden). When a
checkpoint is converted, the embedding of token type 0, the only one used, is added to those of the tokens. The biases
of the projections that a LayerNorm follows are added inside it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from virnucpro_kernels.models.layers import ExactBuffers
from virnucpro_kernels.ops.attention import AttentionParameters, varlen_attention
from virnucpro_kernels.ops.gelu import glu
from virnucpro_kernels.ops.layernorm import NormParameters, residual_layernorm
from virnucpro_kernels.ops.linear import linear, linear_add
from virnucpro_kernels.ops.packing import PackedBatch
from virnucpro_kernels.ops.token_mean import TokenRange, layernorm_mean

EPS = 1e-12
_ALL_TOKENS = TokenRange(skip_first=0, skip_last=0, max_tokens=None)


@dataclass(frozen=True)
class DnabertConfig:
    """Sizes of a DNABERT-2 or DNABERT-S; `feed_forward` counts the channels behind the gate."""

    layers: int
    hidden: int
    heads: int
    feed_forward: int
    vocabulary: int = 4096

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.hidden // self.heads


def alibi_slopes(heads: int) -> torch.Tensor:
    """Return the slope of each head, fp32 (heads,) on the CPU: a score loses slope × distance (arXiv:2108.12409).

    For 2^k heads a geometric series that ends at 2^-8. Otherwise that series for the next smaller power of two, filled
    up with every other slope of the series for the next larger one.
    """
    power = 1 << (heads.bit_length() - 1)
    slopes = [2 ** (-8 * rank / power) for rank in range(1, power + 1)]
    between = [2 ** (-8 * rank / (2 * power)) for rank in range(1, 2 * power + 1, 2)]
    return torch.tensor((slopes + between)[:heads], dtype=torch.float32, device="cpu")


class Attention(ExactBuffers):
    """Multi-head attention of every sequence over itself, without the bias of its output."""

    slopes: torch.Tensor

    def __init__(self, config: DnabertConfig, backend: str) -> None:
        super().__init__()
        self.heads, self.head_dim, self.backend = config.heads, config.head_dim, backend
        self.qkv = nn.Linear(config.hidden, 3 * config.hidden)
        self.out = nn.Linear(config.hidden, config.hidden, bias=False)
        self.register_buffer("slopes", alibi_slopes(config.heads), persistent=False)

    def forward(self, x: torch.Tensor, batch: PackedBatch) -> torch.Tensor | None:
        """Add the result (T, hidden) to `x` in place, or return it for the next LayerNorm to add."""
        qkv = linear(x, self.qkv.weight, self.qkv.bias).view(-1, 3, self.heads, self.head_dim)
        parameters = AttentionParameters(self.head_dim**-0.5, alibi_slopes=self.slopes)
        attended = varlen_attention(qkv, batch, parameters, backend=self.backend)
        return linear_add(attended, self.out.weight, x)


class FeedForward(nn.Module):
    """A gated linear unit and a projection, without the bias of the latter."""

    def __init__(self, config: DnabertConfig) -> None:
        super().__init__()
        self.gated = nn.Linear(config.hidden, 2 * config.feed_forward, bias=False)
        self.down = nn.Linear(config.feed_forward, config.hidden, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor | None:
        """As `Attention.forward`."""
        return linear_add(glu(linear(x, self.gated.weight)), self.down.weight, x)


class BiasedLayerNorm(ExactBuffers):
    """Parameters of a LayerNorm, and the bias (fp32) of the projection before it."""

    projection_bias: torch.Tensor

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden))
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.register_buffer("projection_bias", torch.zeros(hidden, dtype=torch.float32))

    def forward(self, x: torch.Tensor, branch: torch.Tensor | None) -> torch.Tensor:
        """Return `x` plus `branch`, both (T, hidden), normalised."""
        return cast("torch.Tensor", residual_layernorm(x, branch, self.operands))

    @property
    def operands(self) -> NormParameters:
        """The parameters, as `ops.layernorm` takes them."""
        return NormParameters(self.weight, self.bias, EPS, self.projection_bias)


class TransformerBlock(nn.Module):
    """One layer: attention, then gated feed-forward, each with a residual around it and a LayerNorm behind it.

    x = LayerNorm(x + attention(x))
    x = LayerNorm(x + down(GELU(gate(x)) * value(x)))

    The second LayerNorm is left to the caller: the last block's is fused with the mean over the tokens.
    """

    def __init__(self, config: DnabertConfig, attention: str) -> None:
        super().__init__()
        self.attention = Attention(config, attention)
        self.attention_norm = BiasedLayerNorm(config.hidden)
        self.feed_forward = FeedForward(config)
        self.norm = BiasedLayerNorm(config.hidden)

    def forward(self, x: torch.Tensor, batch: PackedBatch) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Take normalised activations (T, hidden); return the activations and the branch that `norm` adds to them."""
        x = self.attention_norm(x, self.attention(x, batch))
        return x, self.feed_forward(x)


class DnabertS(nn.Module):
    """The encoder without pooler and language-model head, for inference."""

    def __init__(self, config: DnabertConfig, *, attention: str = "auto") -> None:
        """`attention` is the backend, see `ops.dispatch`."""
        super().__init__()
        self.config = config
        # Unit variance as usual, but not normal: on the meta device that would import a compiler, for seconds.
        table = torch.empty(config.vocabulary, config.hidden).uniform_(-(3**0.5), 3**0.5)
        self.embedding = nn.Embedding(config.vocabulary, config.hidden, _weight=table)
        self.embedding_norm = BiasedLayerNorm(config.hidden)
        self.blocks = nn.ModuleList(TransformerBlock(config, attention) for _ in range(config.layers))

    def _run_blocks(self, batch: PackedBatch) -> tuple[torch.Tensor, torch.Tensor | None, BiasedLayerNorm]:
        """Return both inputs of the last LayerNorm, and that LayerNorm."""
        x, branch = functional.embedding(batch.tokens, self.embedding.weight), None
        norm = self.embedding_norm
        for block in cast("Iterable[TransformerBlock]", self.blocks):
            x, branch = block(norm(x, branch), batch)
            norm = block.norm
        return x, branch, norm

    @torch.inference_mode()
    def forward(self, batch: PackedBatch) -> torch.Tensor:
        """Last hidden state of every token, (T, hidden)."""
        x, branch, norm = self._run_blocks(batch)
        return norm.forward(x, branch)

    @torch.inference_mode()
    def embed(self, batch: PackedBatch) -> torch.Tensor:
        """Mean of all tokens of each sequence, `[CLS]` and `[SEP]` included, fp32 (B, hidden)."""
        x, branch, norm = self._run_blocks(batch)
        return layernorm_mean(x, branch, norm.operands, batch.cu_seqlens, _ALL_TOKENS)
