"""Rounding an ESM-2 to fp8: its weights, and its biases, corrected for what rounding shifts on average.

The error of a rounded weight is the same for every residue, so the mean over a sequence does not average it out. What
it does to a product on average is a constant, though, which the bias behind the product can take back at no cost. It is
measured once, when the weights are rounded, on fixed random sequences. Their residues are as frequent as in frames of
real sequences: with all residues alike, vectors of a trained encoder were no nearer to the exact ones than without.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.models.esm2 import Esm2, TransformerBlock
from virnucpro_kernels.models.layers import Projection
from virnucpro_kernels.models.tokenizers import EOS, tokenize_proteins
from virnucpro_kernels.ops.packing import PackedBatch, pack
from virnucpro_kernels.ops.quantize import Operand, RowScaled
from virnucpro_kernels.sequences.arrays import SequenceArray
from virnucpro_kernels.sequences.residues import draw_residues

#: Lengths of the sequences: 8,832 tokens with the special ones, a multiple of 64.
_LENGTHS = range(10, 266, 4)


@torch.no_grad()
def round_to_fp8(encoder: Esm2, *, attention: bool = True, keep: Collection[int] = ()) -> None:
    """Round the products of the feed-forward, and of attention unless it stays as it is, and correct the biases.

    The sequences run through the encoder as it was and as it becomes, layer by layer. Where the mean over residues of a
    rounded product differs between the two, its bias takes the difference: that of `qkv` and `up`, and those that the
    LayerNorms carry for `out` and `down`. So each layer also takes back what the layers before it have left.

    Args:
        encoder: Encoder in fp32, fp16 or bf16; changed in place.
        attention: Whether the projections around attention are rounded too.
        keep: Layers (from 0) that stay as they are.

    Raises:
        UsageError: numbers overflow on the way, so that nothing can be measured.
    """
    batch = _fixed_batch().to(encoder.embedding.weight.device)
    before, after = _Pass(encoder, batch), _Pass(encoder, batch)
    carried = torch.zeros_like(encoder.norm.carried_bias)
    for index, block in enumerate(cast("list[TransformerBlock]", list(encoder.blocks))):
        exact: dict[Projection, torch.Tensor] = {}
        before.run(block, exact.__setitem__)
        block.attention_norm.carried_bias += carried
        block.feed_forward_norm.carried_bias += carried
        if index not in keep:
            block.to_fp8(attention=attention)
        after.run(block, partial(_correct, block, exact, carried))
    encoder.norm.carried_bias += carried
    if not torch.isfinite(carried).all():
        raise UsageError("precision fp8: the activations of this model overflow fp16; choose bf16 or fp32")


def _correct(
    block: TransformerBlock,
    exact: Mapping[Projection, torch.Tensor],
    carried: torch.Tensor,
    product: Projection,
    mean: torch.Tensor,
) -> None:
    """Make the mean of a rounded product that of the exact one, in its bias or the `carried` ones (in place)."""
    if not product.is_fp8:
        return
    shift = exact[product] - mean
    if product in (block.attention.qkv, block.feed_forward.up):
        product.bias.add_(shift)
        return
    carried += shift
    if product is block.attention.out:
        block.feed_forward_norm.carried_bias += shift


class _Pass:
    """A pass of the sequences through the encoder, one layer at a time."""

    def __init__(self, encoder: Esm2, batch: PackedBatch) -> None:
        self._batch, self._rope = batch, encoder.rope.tables(batch.max_length)
        self._residual = functional.embedding(batch.tokens, encoder.embedding.weight)
        self._branch: torch.Tensor | None = None
        residues = (batch.tokens > EOS).float()
        self._share = residues / residues.sum()

    def run(self, block: TransformerBlock, see: Callable[[Projection, torch.Tensor], None]) -> None:
        """Run through a layer; before each product, give its mean over all residues without bias (out,) to `see`."""

        def hook(_: nn.Module, __: object, x: Operand, product: Projection) -> None:
            see(product, _dense(product.operand) @ (self._share @ _dense(x)))

        inputs = {
            block.attention_norm: block.attention.qkv,
            block.attention: block.attention.out,
            block.feed_forward_norm: block.feed_forward.up,
            block.feed_forward: block.feed_forward.down,
        }
        hooks = [made_by.register_forward_hook(partial(hook, product=product)) for made_by, product in inputs.items()]
        try:
            self._branch = block(self._residual, self._branch, self._batch, self._rope)
        finally:
            for each in hooks:
                each.remove()


def _dense(x: Operand) -> torch.Tensor:
    return x.dequantize() if isinstance(x, RowScaled) else x.float()


def _fixed_batch() -> PackedBatch:
    proteins = [draw_residues(f"rounding {length}", length) for length in _LENGTHS]
    return pack(tokenize_proteins(SequenceArray.from_list(proteins)), slice(0, len(proteins)))
