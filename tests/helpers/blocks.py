"""The layers of an encoder, by their type: an `nn.ModuleList` says of its items only that they are modules."""

from typing import cast

from virnucpro_kernels.models import dnabert_s, esm2


def esm2_blocks(encoder: esm2.Esm2) -> list[esm2.TransformerBlock]:
    return cast("list[esm2.TransformerBlock]", list(encoder.blocks))


def dnabert_blocks(encoder: dnabert_s.DnabertS) -> list[dnabert_s.TransformerBlock]:
    return cast("list[dnabert_s.TransformerBlock]", list(encoder.blocks))
