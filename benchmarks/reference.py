"""What the engine is compared with: the original tool's way, for its speed, and fp32, for its vectors.

The original's way is fair-esm in fp32 with 2,048 tokens a batch, and DNABERT-S in fp32 one sequence at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import torch

from virnucpro_kernels.bench.encoders import Batches, Encoder, Workload, convert, make_batches, make_encoder
from virnucpro_kernels.bench.run import Plan
from virnucpro_kernels.bench.timing import calls_per_second, measure_memory
from virnucpro_kernels.embed.device import Embeds
from virnucpro_kernels.models.esm2 import Esm2, TransformerBlock
from virnucpro_kernels.models.reference import ReferenceDnabertS, ReferenceEsm2
from virnucpro_kernels.models.similarity import cosines

TOKENS_A_BATCH = 2048


@dataclass(frozen=True)
class ReferenceRate:
    """Speed and memory of the original's way.

    Attributes:
        encoder, workload: What was measured.
        tokens_per_second: Rate of the tokens; padding does not count.
        sequences_per_second: The same rate in sequences.
        peak_gigabytes: GPU memory, weights included; None on a CPU.
    """

    encoder: str
    workload: str
    tokens_per_second: float
    sequences_per_second: float
    peak_gigabytes: float | None


def measure_reference(
    name: str, encoder: Encoder, workload: Workload, seconds: float, device: torch.device
) -> ReferenceRate:
    """Embed one batch as the original does, again and again for about `seconds`.

    Args:
        name: Name of the encoder.
        encoder: Encoder in fp32; its weights are shared, not copied.
        workload: Lengths of the sequences.
        seconds: Time of the measurement.
        device: Device that computes.

    Raises:
        UsageError: fair-esm is not installed.
    """
    call, lengths = _reference_call(encoder, workload, device)
    memory = measure_memory(call, device)
    calls = calls_per_second(call, seconds, device)
    return ReferenceRate(name, str(workload), calls * sum(lengths), calls * len(lengths), memory.peak)


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


@dataclass(frozen=True)
class Accuracy:
    """Cosines between two sets of vectors of the same sequences.

    Attributes:
        precision: Precision that is compared with fp32.
        outliers: Whether the weights have channels much larger than the others.
        sequences: Number of sequences.
        worst, mean: Smallest and mean cosine.
        centred_worst, centred_mean: The same after the mean of all fp32 vectors is taken away, see `models.similarity`.
    """

    precision: str
    outliers: bool
    sequences: int
    worst: float
    mean: float
    centred_worst: float
    centred_mean: float


def vectors(encoder: Embeds, batches: Batches) -> torch.Tensor:
    """Return fp32 vectors (sequences, d) on the CPU; sequences without residues are left out."""
    found = []
    for batch in batches.batches:
        embedded = encoder.embed(batch).cpu()
        found.append(embedded[torch.from_numpy(batch.lengths > 2)])
    return torch.cat(found)


def compare_vectors(precision: str, outliers: bool, found: torch.Tensor, exact: torch.Tensor) -> Accuracy:
    """Compare vectors with those in fp32, row by row."""
    return Accuracy(precision, outliers, len(found), *cosines(found.numpy(), exact.numpy()))


def make_samples(encoder: Encoder, plan: Plan, count: int, device: torch.device) -> Batches:
    """Return `count` sequences of 1 to 1,100 residues in batches of the plan's largest token budget."""
    budget = max(plan.budget(precision, device) for precision in plan.precisions)
    return make_batches(Workload(3, 1102), count, budget, encoder.config.vocabulary, device)


def measure_outliers(plan: Plan, samples: Batches, device: torch.device, *, keep: list[int]) -> Iterator[Accuracy]:
    """Compare each precision with fp32 on weights with planted outlier channels."""
    exact: torch.Tensor | None = None
    for precision in ("fp32", *(name for name in plan.precisions if name != "fp32")):
        encoder = make_encoder(plan.encoder, device)
        assert isinstance(encoder, Esm2)
        plant_outliers(encoder)
        convert(encoder, precision, keep=keep)
        found = vectors(encoder, samples)
        exact = found if exact is None else exact
        if precision in plan.precisions:
            yield compare_vectors(precision, True, found, exact)


def plant_outliers(encoder: Esm2) -> None:
    """Make three channels thirty times larger than the others: trained models have such, and fp8 suffers from them."""
    hidden = encoder.config.hidden
    for channel in (3, hidden // 2, hidden - 7):
        encoder.embedding.weight[:, channel] *= 30
        for index, block in enumerate(cast("list[TransformerBlock]", list(encoder.blocks))):
            block.attention_norm.weight[channel] *= 5
            block.feed_forward.down.weight[channel] *= 30
            block.attention_norm.carried_bias[channel] -= 2 * index
            block.feed_forward_norm.carried_bias[channel] += 3 - 2 * index
        encoder.norm.carried_bias[channel] -= 2 * len(encoder.blocks)
