"""`precision: reference`: both encoders as others would write them, fp32, unpacked, one sequence at a time.

ESM-2 is fair-esm's own module; DNABERT-S is plain dense attention. Slow, and there to be compared with. Both take
weights in the form in which a model directory holds them.
"""

from typing import cast

import torch
from torch import nn
from torch.nn import functional

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.models import dnabert_s, esm2
from virnucpro_kernels.models.precisions import NO_FAIR_ESM
from virnucpro_kernels.ops.packing import PackedBatch


class _OneByOne(nn.Module):
    """Gives the sequences of a packed batch to `embed_sequence` one after the other."""

    def embed_sequence(self, tokens: torch.Tensor) -> torch.Tensor:
        """Vector (d,) of one sequence of `tokens` (L,)."""
        raise NotImplementedError

    @torch.inference_mode()
    def embed(self, batch: PackedBatch) -> torch.Tensor:
        """Return the vector of each sequence, fp32 (B, d)."""
        sequences = torch.split(batch.tokens[: int(batch.lengths.sum())].long(), batch.lengths.tolist())
        return torch.stack([self.embed_sequence(tokens) for tokens in sequences])


class ReferenceEsm2(_OneByOne):
    """fair-esm's ESM-2, its last hidden state averaged over the first 1024 residues."""

    def __init__(self, encoder: esm2.Esm2) -> None:
        """Take the weights of `encoder`, fp32.

        Raises:
            UsageError: fair-esm is not installed, or does not know an ESM-2 of this shape.
        """
        super().__init__()
        try:
            from esm.model.esm2 import ESM2
        except ImportError:
            raise UsageError(NO_FAIR_ESM) from None
        config = encoder.config
        if config.feed_forward != 4 * config.hidden:
            raise UsageError(
                f"fair-esm has no ESM-2 of {config.hidden} channels with feed-forward layers of {config.feed_forward};"
                " choose another precision than reference"
            )
        with torch.device("meta"):
            self.model = ESM2(config.layers, config.hidden, config.heads, token_dropout=False)
        # The outputs of its two heads are not needed.
        self.model.lm_head = self.model.contact_head = nn.Identity()
        self.model.load_state_dict(fair_esm_tensors(encoder), assign=True)
        self.model.eval().requires_grad_(False)

    def embed_sequence(self, tokens: torch.Tensor) -> torch.Tensor:
        """Vector (d,) of `<cls>`, residues, `<eos>`."""
        layers = self.model.num_layers
        states = self.model(tokens.unsqueeze(0), repr_layers=[layers])["representations"][layers][0]
        mean: torch.Tensor = states[1 : min(len(tokens) - 1, 1 + esm2.AVERAGED_RESIDUES)].mean(dim=0)
        return mean


def fair_esm_tensors(encoder: esm2.Esm2) -> dict[str, torch.Tensor]:
    """Return the tensors of an fp32 encoder by fair-esm's names; the factor of the embeddings stays in their table."""
    blocks = cast("list[esm2.TransformerBlock]", list(encoder.blocks))
    # Training may have given the first norm a bias to carry as well: fair-esm has no projection there, but a table.
    table = encoder.embedding.weight.data + blocks[0].attention_norm.carried_bias
    tensors = {"embed_tokens.weight": table}
    for index, block in enumerate(blocks):
        following = blocks[index + 1].attention_norm if index + 1 < len(blocks) else encoder.norm
        modules = {
            "self_attn_layer_norm": block.attention_norm,
            "final_layer_norm": block.feed_forward_norm,
            "fc1": block.feed_forward.up,
        }
        layer = {f"{name}.{kind}": getattr(module, kind).data for name, module in modules.items() for kind in _KINDS}
        for kind in _KINDS:
            parts = getattr(block.attention.qkv, kind).data.chunk(3)
            layer |= {f"self_attn.{name}_proj.{kind}": part for name, part in zip("qkv", parts, strict=True)}
        layer["self_attn.out_proj.weight"] = block.attention.out.weight.data
        layer["fc2.weight"] = block.feed_forward.down.weight.data
        # Each norm carries the sum of all biases before it.
        before, between, after = (
            norm.carried_bias for norm in (block.attention_norm, block.feed_forward_norm, following)
        )
        layer["self_attn.out_proj.bias"], layer["fc2.bias"] = between - before, after - between
        layer["self_attn.rot_emb.inv_freq"] = encoder.rope.inverse_frequencies
        tensors |= {f"layers.{index}.{name}": tensor for name, tensor in layer.items()}
    return tensors | {f"emb_layer_norm_after.{kind}": getattr(encoder.norm, kind).data for kind in _KINDS}


_KINDS = ("weight", "bias")


class ReferenceDnabertS(_OneByOne):
    """DNABERT-S by dense attention, its last hidden state averaged over all tokens."""

    def __init__(self, encoder: dnabert_s.DnabertS) -> None:
        """Take the weights of `encoder`, fp32."""
        super().__init__()
        self.encoder = encoder

    def embed_sequence(self, tokens: torch.Tensor) -> torch.Tensor:
        """Vector (d,) of `[CLS]`, byte pairs, `[SEP]`."""
        x = _norm(self.encoder.embedding_norm, self.encoder.embedding(tokens))
        position = torch.arange(len(tokens), device=tokens.device)
        distance = (position.unsqueeze(0) - position.unsqueeze(1)).abs()
        for block in cast("list[dnabert_s.TransformerBlock]", list(self.encoder.blocks)):
            attention = block.attention
            query, key, value = attention.qkv(x).view(len(x), 3, attention.heads, -1).permute(1, 2, 0, 3)
            scores = query @ key.transpose(1, 2) / attention.head_dim**0.5
            weights = (scores - attention.slopes.view(-1, 1, 1) * distance).softmax(dim=2)
            x = _norm(block.attention_norm, x + attention.out((weights @ value).transpose(0, 1).flatten(1)))
            gate, gated = block.feed_forward.gated(x).chunk(2, dim=1)
            x = _norm(block.norm, x + block.feed_forward.down(functional.gelu(gate) * gated))
        return x.mean(dim=0)


def _norm(norm: dnabert_s.BiasedLayerNorm, x: torch.Tensor) -> torch.Tensor:
    return functional.layer_norm(x + norm.projection_bias, x.shape[-1:], norm.weight, norm.bias, dnabert_s.EPS)
