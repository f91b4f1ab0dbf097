"""The original tool's way: fair-esm in fp32 with 2,048 tokens a batch, DNABERT-S in fp32 one sequence at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from virnucpro_kernels.bench.encoders import Encoder, Workload
from virnucpro_kernels.bench.timing import calls_a_second, measure_memory
from virnucpro_kernels.models.esm2 import Esm2
from virnucpro_kernels.models.reference import ReferenceDnabertS, ReferenceEsm2

TOKENS_A_BATCH = 2048


@dataclass(frozen=True)
class ReferenceRate:
    """Speed and memory of the original's way.

    Attributes:
        tokens_per_second: padding does not count.
        peak_gigabytes: of GPU memory, weights included; None on a CPU.
    """

    tokens_per_second: float
    sequences_per_second: float
    peak_gigabytes: float | None


def measure_reference(encoder: Encoder, workload: Workload, seconds: float, device: torch.device) -> ReferenceRate:
    """Embed one batch as the original does, again and again for about `seconds`.

    :param encoder: fp32; its weights are shared, not copied.
    :raises UsageError: fair-esm is not installed.
    """
    call, lengths = _reference_call(encoder, workload, device)
    memory = measure_memory(call, device)
    calls = calls_a_second(call, seconds, device)
    return ReferenceRate(calls * sum(lengths), calls * len(lengths), memory.peak)


def _reference_call(
    encoder: Encoder, workload: Workload, device: torch.device
) -> tuple[Callable[[], object], list[int]]:
    """Return a function that embeds one batch, and the tokens of its sequences, without padding."""
    if not isinstance(encoder, Esm2):
        dense = ReferenceDnabertS(encoder)
        tokens = torch.randint(4, 24, (workload.longest,), device=device)
        return torch.inference_mode()(lambda: dense.embed_sequence(tokens)), [workload.longest]
    count = max(1, TOKENS_A_BATCH // workload.longest)
    lengths = workload.lengths(count).tolist()
    batch = torch.ones(count, max(lengths), dtype=torch.long, device=device)
    for row, length in zip(batch, lengths, strict=True):
        row[:length] = torch.randint(4, 24, (length,), device=device)
        row[0], row[length - 1] = 0, 2
    model = ReferenceEsm2(encoder).model
    layers = model.num_layers
    return torch.inference_mode()(lambda: model(batch, repr_layers=[layers])), lengths
