"""The original tool's way: fair-esm in fp32 with 2,048 tokens a batch, DNABERT-S in fp32 one sequence at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch

from virnucpro_kernels.bench.encoders import Encoder, Workload
from virnucpro_kernels.models.esm2 import Esm2
from virnucpro_kernels.models.reference import ReferenceDnabertS, ReferenceEsm2

TOKENS_A_BATCH = 2048


def reference_call(encoder: Encoder, workload: Workload) -> tuple[Callable[[], object], int]:
    """Return a function that embeds one batch as the original does, and its number of tokens that are no padding.

    :param encoder: fp32; its weights are shared, not copied.
    :raises UsageError: fair-esm is not installed.
    """
    device = encoder.embedding.weight.device
    if not isinstance(encoder, Esm2):
        dense = ReferenceDnabertS(encoder)
        tokens = torch.randint(4, 24, (workload.longest,), device=device)
        return torch.inference_mode()(lambda: dense.embed_sequence(tokens)), workload.longest
    count = max(1, TOKENS_A_BATCH // workload.longest)
    lengths = workload.lengths(count)
    batch = torch.ones(count, int(lengths.max()), dtype=torch.long, device=device)
    for row, length in zip(batch, lengths.tolist(), strict=True):
        row[:length] = torch.randint(4, 24, (length,), device=device)
        row[0], row[length - 1] = 0, 2
    model = ReferenceEsm2(encoder).model
    layers = model.num_layers
    return torch.inference_mode()(lambda: model(batch, repr_layers=[layers])), int(lengths.sum())
