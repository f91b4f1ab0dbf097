"""A run of the benchmark: which encoders, precisions and workloads, and what is measured of each."""

from __future__ import annotations

import itertools
import logging
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from virnucpro_kernels.bench.accuracy import compare, vectors
from virnucpro_kernels.bench.ceiling import products
from virnucpro_kernels.bench.encoders import (
    Batches,
    Encoder,
    Workload,
    convert,
    flop_a_token,
    make_batches,
    make_encoder,
)
from virnucpro_kernels.bench.layer import layer_parts, profile_kernels
from virnucpro_kernels.bench.reference import reference_call
from virnucpro_kernels.bench.results import Layer, Rate, Results
from virnucpro_kernels.bench.timing import calls_a_second, copy_bandwidth
from virnucpro_kernels.models.esm2 import Esm2

log = logging.getLogger(__name__)

#: Random weights are made in fp32; each precision follows from the one before without another copy.
_ORDER = ("fp32", "bf16", "fp16", "fp8")


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        encoder: one of `encoders.CONFIGS`.
        precisions: of `fp32`, `bf16`, `fp16`, `fp8`; bf16 not together with fp16 or fp8, which share the weights.
        workloads: lengths of sequences.
        budgets: tokens of a batch; each is measured.
        sequences: how many make up the batches; 0 for four full batches.
        rounds, seconds: engine and ceiling in turn, so many times, so long each.
        ceiling, reference, layers: what to measure beside the engine.
        accuracy: sequences of 1 to 1,100 residues whose vectors are compared with those in fp32; 0 for none.
        keep: layers (from 0) that stay fp16 in fp8.
    """

    encoder: str
    precisions: Sequence[str]
    workloads: Sequence[Workload]
    budgets: Sequence[int]
    sequences: int = 0
    rounds: int = 5
    seconds: float = 10.0
    ceiling: bool = True
    reference: bool = True
    layers: bool = True
    accuracy: int = 0
    keep: Sequence[int] = ()


def run(plan: Plan, device: torch.device, results: Results) -> None:
    """Measure and append to `results`."""
    encoder = make_encoder(plan.encoder, device)
    references = {}
    if plan.reference:
        references = {workload: _reference_rate(encoder, workload, plan, device) for workload in plan.workloads}
    exact, samples = None, None
    if plan.accuracy and isinstance(encoder, Esm2):
        samples = _samples(encoder, plan, device)
        exact = vectors(encoder, samples)
    for precision in [name for name in _ORDER if name in plan.precisions]:
        convert(encoder, precision, keep=plan.keep)
        for budget in plan.budgets:
            for workload in plan.workloads:
                rate = _measure(encoder, precision, workload, budget, plan, device, references.get(workload))
                results.rates.append(rate)
                log.info("%s %s %s: %s tokens/s", plan.encoder, precision, workload, f"{rate.tokens_per_second:,.0f}")
        if plan.layers:
            results.layers += [_layer(encoder, precision, workload, plan, device) for workload in plan.workloads]
        if exact is not None and samples is not None:
            results.accuracy.append(compare(precision, False, vectors(encoder, samples), exact))
    del encoder
    if plan.accuracy and samples is not None:
        _measure_outliers(plan, samples, device, results)


def _reference_rate(encoder: Encoder, workload: Workload, plan: Plan, device: torch.device) -> float:
    call, tokens = reference_call(encoder, workload)
    call()
    rate = tokens * calls_a_second(call, plan.seconds, device)
    log.info("%s, the original's way, %s: %s tokens/s", plan.encoder, workload, f"{rate:,.0f}")
    return rate


def _samples(encoder: Encoder, plan: Plan, device: torch.device) -> Batches:
    return make_batches(Workload(3, 1102), plan.accuracy, plan.budgets[0], encoder.config.vocabulary, device)


def _measure_outliers(plan: Plan, samples: Batches, device: torch.device, results: Results) -> None:
    encoder = make_encoder(plan.encoder, device, outliers=True)
    exact = vectors(encoder, samples)
    for precision in [name for name in _ORDER if name in plan.precisions]:
        convert(encoder, precision, keep=plan.keep)
        results.accuracy.append(compare(precision, True, vectors(encoder, samples), exact))


def _count(plan: Plan, workload: Workload, budget: int) -> int:
    if plan.sequences:
        return plan.sequences
    mean = (workload.shortest + workload.longest) / 2
    return max(1, int(3.95 * budget / mean))


def _measure(
    encoder: Encoder,
    precision: str,
    workload: Workload,
    budget: int,
    plan: Plan,
    device: torch.device,
    reference: float | None,
) -> Rate:
    batches = make_batches(workload, _count(plan, workload, budget), budget, encoder.config.vocabulary, device)
    if len(batches.batches) > 1 and not plan.sequences:  # the last one is not full, and a long run has few of those
        full = batches.batches[:-1]
        batches = Batches(full, sum(int(b.lengths.sum()) for b in full) / (budget * len(full)))
    count = len(batches.batches)

    following = itertools.cycle(batches.batches)

    def embed() -> torch.Tensor:
        return encoder.embed(next(following))

    for _ in range(count):
        embed()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    at_least = count if plan.sequences else 1
    tokens_a_call, sequences_a_call = batches.tokens / count, batches.sequences / count
    multiply = products(encoder, len(batches.batches[0].tokens)) if plan.ceiling else None
    rounds = []
    for _ in range(plan.rounds):
        ours = tokens_a_call * calls_a_second(embed, plan.seconds, device, at_least=at_least)
        peak, reserved = _memory(device)
        best = 0.0
        if multiply is not None:
            best = tokens_a_call * calls_a_second(multiply, plan.seconds, device)
        rounds.append((ours, best))
    rate = statistics.median(ours for ours, _ in rounds)
    return Rate(
        encoder=plan.encoder,
        precision=precision,
        workload=str(workload),
        token_budget=budget,
        tokens_per_second=rate,
        sequences_per_second=rate * sequences_a_call / tokens_a_call,
        packing=batches.utilisation,
        ceiling_tokens_per_second=statistics.median(best for _, best in rounds) if plan.ceiling else None,
        of_ceiling=statistics.median(ours / best for ours, best in rounds) if plan.ceiling else None,
        teraflop_per_second=rate * flop_a_token(encoder) / 1e12,
        reference_tokens_per_second=reference,
        peak_gigabytes=peak / 1e9,
        reserved_gigabytes=reserved / 1e9,
        rounds=rounds,
    )


def _memory(device: torch.device) -> tuple[int, int]:
    if device.type != "cuda":
        return 0, 0
    return torch.cuda.max_memory_allocated(device), torch.cuda.memory_reserved(device)


def _layer(encoder: Encoder, precision: str, workload: Workload, plan: Plan, device: torch.device) -> Layer:
    budget = plan.budgets[0]
    count = _count(plan, workload, budget)
    batch = make_batches(workload, count, budget, encoder.config.vocabulary, device).batches[0]
    parts = layer_parts(encoder, batch)
    products = [part for part in parts if part.teraflop]
    best = max(part.teraflop / part.milliseconds for part in products) * 1e15
    kernels = profile_kernels(encoder, batch) if device.type == "cuda" else {}
    return Layer(plan.encoder, precision, str(workload), budget, copy_bandwidth(device), best, parts, kernels)
