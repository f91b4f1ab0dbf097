"""ESM-2 on packed batches: a pre-LayerNorm transformer with rotary positions (doi:10.1126/science.ade2574).

Activations are flat, (tokens, hidden). Weights that a published checkpoint keeps apart are joined once, when it is
converted: query, key and value weights are one matrix, the embedding table carries the factor `EMBEDDING_SCALE`, and
the biases of the projections that write to the residual stream are summed up. The stream is kept without them: every
LayerNorm adds the sum of all biases before it, `carried_bias`, on the fly.

Products may be fp8 (`rounding.round_to_fp8`): what the LayerNorms, attention or GELU before them return is then fp8
too, while the residual stream stays as it is.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from virnucpro_kernels.models.layers import ExactBuffers, Projection, Rope
from virnucpro_kernels.ops.attention import AttentionParameters, RopeTables, varlen_attention
from virnucpro_kernels.ops.layernorm import NormParameters, residual_layernorm
from virnucpro_kernels.ops.linear import linear, linear_add
from virnucpro_kernels.ops.linear_gelu import linear_gelu
from virnucpro_kernels.ops.packing import PackedBatch
from virnucpro_kernels.ops.quantize import Operand, attention_factors
from virnucpro_kernels.ops.token_mean import TokenRange, layernorm_mean

#: ESM-2 was trained with 12 % of the tokens zeroed on average, and rescales the others for it at inference too.
EMBEDDING_SCALE = 1 - 0.15 * 0.8
#: Largest number of residues over which the mean of a sequence is taken; later ones still take part in attention.
AVERAGED_RESIDUES = 1024
_AVERAGED = TokenRange(skip_first=1, skip_last=1, max_tokens=AVERAGED_RESIDUES)  # without `<cls>` and `<eos>`
EPS = 1e-5


@dataclass(frozen=True)
class Esm2Config:
    """Sizes of an ESM-2."""

    layers: int
    hidden: int
    heads: int
    feed_forward: int
    vocabulary: int = 33

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.hidden // self.heads


class CarriedLayerNorm(ExactBuffers):
    """Parameters of a LayerNorm of the residual stream, and the biases that the stream lacks there (fp32)."""

    carried_bias: torch.Tensor

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden))
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.register_buffer("carried_bias", torch.zeros(hidden, dtype=torch.float32))

    def forward(self, residual: torch.Tensor, branch: torch.Tensor | None, *, to_fp8: bool) -> Operand:
        """Add `branch` to `residual` in place, both (T, hidden), and return the sum normalised."""
        updated = branch is not None
        return residual_layernorm(residual, branch, self.operands, update_residual=updated, quantize=to_fp8)

    @property
    def operands(self) -> NormParameters:
        """The parameters, as `ops.layernorm` takes them."""
        return NormParameters(self.weight, self.bias, EPS, self.carried_bias)


class Attention(nn.Module):
    """Multi-head attention of every sequence over itself; `out`, without its bias, is the block's to apply."""

    def __init__(self, config: Esm2Config, backend: str) -> None:
        super().__init__()
        self.heads, self.head_dim, self.backend = config.heads, config.head_dim, backend
        self.qkv = Projection(config.hidden, 3 * config.hidden)
        self.out = Projection(config.hidden, config.hidden, bias=False)

    def forward(self, x: Operand, batch: PackedBatch, rope: RopeTables) -> Operand:
        """Return what `out` takes, (T, hidden)."""
        qkv = linear(x, self.qkv.operand, self.qkv.bias).view(-1, 3, self.heads, self.head_dim)
        fp8_scale = self.out.input_factors if self.out.is_fp8 else None
        parameters = AttentionParameters(self.head_dim**-0.5, rope=rope, fp8_scale=fp8_scale)
        return varlen_attention(qkv, batch, parameters, backend=self.backend)


class FeedForward(nn.Module):
    """Two projections with a GELU between; the second, without its bias, is the block's to apply."""

    def __init__(self, config: Esm2Config) -> None:
        super().__init__()
        self.up = Projection(config.hidden, config.feed_forward)
        self.down = Projection(config.feed_forward, config.hidden, bias=False)

    def forward(self, x: Operand) -> Operand:
        """Return what `down` takes, (T, feed_forward)."""
        return linear_gelu(x, self.up.operand, self.up.bias, quantize=self.down.is_fp8)


class TransformerBlock(nn.Module):
    """One layer: attention, then feed-forward, each behind a LayerNorm and around a residual.

    residual += out(attention(qkv(LayerNorm(residual + carried biases))))
    residual += down(GELU(up(LayerNorm(residual + carried biases))))

    Each of its four modules returns what the next product takes, so that a forward hook can look at it.
    """

    def __init__(self, config: Esm2Config, attention: str) -> None:
        super().__init__()
        self.attention_norm = CarriedLayerNorm(config.hidden)
        self.attention = Attention(config, attention)
        self.feed_forward_norm = CarriedLayerNorm(config.hidden)
        self.feed_forward = FeedForward(config)

    def forward(
        self, residual: torch.Tensor, branch: torch.Tensor | None, batch: PackedBatch, rope: RopeTables
    ) -> torch.Tensor | None:
        """Update `residual` (T, hidden) in place; take, and return, a branch that the next LayerNorm adds to it."""
        attention, feed_forward = self.attention, self.feed_forward
        x = self.attention_norm(residual, branch, to_fp8=attention.qkv.is_fp8)
        x = attention(x, batch, rope)
        branch = linear_add(x, attention.out.operand, residual)
        del x  # its memory is for the next one
        x = self.feed_forward_norm(residual, branch, to_fp8=feed_forward.up.is_fp8)
        x = feed_forward(x)
        return linear_add(x, feed_forward.down.operand, residual)

    def to_fp8(self, *, attention: bool = True) -> None:
        """Round the weights of the feed-forward to fp8, and those of attention unless they are left as they are."""
        if attention:
            qkv, norm = self.attention.qkv, self.attention_norm
            values = slice(2 * qkv.in_features, None)
            factors = attention_factors(qkv.weight[values], qkv.bias[values], norm.weight, norm.bias)
            self.attention.out.to_fp8(factors)
            qkv.to_fp8()
        self.feed_forward.up.to_fp8()
        self.feed_forward.down.to_fp8()


class Esm2(nn.Module):
    """The encoder without its language-model head, for inference."""

    def __init__(self, config: Esm2Config, *, attention: str = "auto") -> None:
        """`attention` is the backend, see `ops.dispatch`."""
        super().__init__()
        self.config = config
        # Unit variance as usual, but not normal: on the meta device that would import a compiler, for seconds.
        table = torch.empty(config.vocabulary, config.hidden).uniform_(-(3**0.5), 3**0.5)
        self.embedding = nn.Embedding(config.vocabulary, config.hidden, _weight=table)
        self.rope = Rope(config.head_dim)
        self.blocks = nn.ModuleList(TransformerBlock(config, attention) for _ in range(config.layers))
        self.norm = CarriedLayerNorm(config.hidden)

    def _claim_memory(self, tokens: int) -> None:
        """Make PyTorch's allocator reserve memory for the widest activations and the residual stream at the same time.

        It takes the memory of most other activations out of this. Allocated one by one, queries, keys and values would
        get memory beside that of the hidden layer, though the two are never in use at the same time.
        """
        widest = self.embedding.weight.new_empty(tokens, max(self.config.feed_forward, 3 * self.config.hidden))
        stream = self.embedding.weight.new_empty(tokens, self.config.hidden)
        del widest, stream

    def _run_blocks(self, batch: PackedBatch) -> tuple[torch.Tensor, torch.Tensor | None]:
        if batch.tokens.is_cuda:
            self._claim_memory(len(batch.tokens))
        residual = functional.embedding(batch.tokens, self.embedding.weight)
        branch: torch.Tensor | None = None
        rope = self.rope.tables(batch.max_length)
        for block in self.blocks:
            branch = block(residual, branch, batch, rope)
        return residual, branch

    @torch.inference_mode()
    def forward(self, batch: PackedBatch) -> torch.Tensor:
        """Representation of every token after the final LayerNorm, (T, hidden), special tokens included."""
        residual, branch = self._run_blocks(batch)
        return cast("torch.Tensor", residual_layernorm(residual, branch, self.norm.operands))

    @torch.inference_mode()
    def embed(self, batch: PackedBatch) -> torch.Tensor:
        """Mean representation of each sequence, fp32 (B, hidden): residues 1 to 1024, `<cls>` and `<eos>` left out."""
        residual, branch = self._run_blocks(batch)
        return layernorm_mean(residual, branch, self.norm.operands, batch.cu_seqlens, _AVERAGED)
