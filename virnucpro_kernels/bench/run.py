"""A run of the benchmark: which encoders, precisions and workloads, and what is measured of each."""

from __future__ import annotations

import itertools
import logging
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from virnucpro_kernels.bench.accuracy import Accuracy, compare, vectors
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
        budgets: tokens of a batch, ascending; each is measured, until one does not fit into the memory.
        sequences: how many make up the batches; 0 for four full batches.
        rounds, seconds: the engine on each workload and the ceiling in turn, so many times, so long each.
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
            if device.type == "cuda":
                torch.cuda.empty_cache()  # what the weights, or the last budget, took on the way is not this engine's
            try:
                rates = list(_measure(encoder, precision, budget, plan, device, references))
            except torch.OutOfMemoryError as error:
                if budget == plan.budgets[0]:
                    raise
                log.warning(
                    "%s %s: batches of %d tokens and more do not fit (%s)", plan.encoder, precision, budget, error
                )
                break
            for rate in rates:
                share = f", {rate.of_ceiling:.3f} of the ceiling" if rate.of_ceiling else ""
                log.info("%s %s %s: %.0f tokens/s%s", *rate.key[:3], rate.tokens_per_second, share)
            results.rates += rates
        if plan.layers:
            results.layers += [_layer(encoder, precision, workload, plan, device) for workload in plan.workloads]
        if exact is not None and samples is not None:
            _note(results, compare(precision, False, vectors(encoder, samples), exact))
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
        _note(results, compare(precision, True, vectors(encoder, samples), exact))


def _note(results: Results, found: Accuracy) -> None:
    outliers = ", planted outliers" if found.outliers else ""
    log.info("%s%s: worst cosine of %d sequences %.8f", found.precision, outliers, found.sequences, found.worst)
    results.accuracy.append(found)


def _count(plan: Plan, workload: Workload, budget: int) -> int:
    if plan.sequences:
        return plan.sequences
    mean = (workload.shortest + workload.longest) / 2
    return max(1, int(3.95 * budget / mean))


class _Turns:
    """One workload's turns: the engine on its batches, again and again."""

    def __init__(self, encoder: Encoder, workload: Workload, budget: int, plan: Plan, device: torch.device) -> None:
        batches = make_batches(workload, _count(plan, workload, budget), budget, encoder.config.vocabulary, device)
        if len(batches.batches) > 1 and not plan.sequences:  # the last is not full, and a long run has few of those
            full = batches.batches[:-1]
            batches = Batches(full, sum(int(b.lengths.sum()) for b in full) / (budget * len(full)))
        self.workload, self.batches = workload, batches
        self.count = count = len(batches.batches)
        self.tokens_a_call, self.sequences_a_call = batches.tokens / count, batches.sequences / count
        self.rates: list[float] = []
        self._encoder, self._device = encoder, device
        self._following = itertools.cycle(batches.batches)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        for _ in range(count):
            self._embed()
        self.peak, self.reserved = _memory(device)

    @property
    def rows(self) -> int:
        """Tokens of a batch, padding included."""
        return len(self.batches.batches[0].tokens)

    def _embed(self) -> torch.Tensor:
        return self._encoder.embed(next(self._following))

    def take(self, seconds: float, at_least: int) -> None:
        """Measure once."""
        self.rates.append(self.tokens_a_call * calls_a_second(self._embed, seconds, self._device, at_least=at_least))


def _measure(
    encoder: Encoder,
    precision: str,
    budget: int,
    plan: Plan,
    device: torch.device,
    references: Mapping[Workload, float],
) -> Iterator[Rate]:
    """Every round: the engine on each workload, then the ceiling once for each shape that their batches have."""
    turns = [_Turns(encoder, workload, budget, plan, device) for workload in plan.workloads]
    ceilings = {one.rows: products(encoder, one.rows) for one in turns} if plan.ceiling else {}
    best: dict[int, list[float]] = {rows: [] for rows in ceilings}
    for _ in range(plan.rounds):
        for one in turns:
            one.take(plan.seconds, one.count if plan.sequences else 1)
        for rows, multiply in ceilings.items():
            best[rows].append(calls_a_second(multiply, plan.seconds, device))
    for one in turns:
        calls = best.get(one.rows, [])
        rounds = list(itertools.zip_longest(one.rates, (one.tokens_a_call * rate for rate in calls), fillvalue=0.0))
        rate = statistics.median(one.rates)
        yield Rate(
            encoder=plan.encoder,
            precision=precision,
            workload=str(one.workload),
            token_budget=budget,
            tokens_per_second=rate,
            sequences_per_second=rate * one.sequences_a_call / one.tokens_a_call,
            packing=one.batches.utilisation,
            ceiling_tokens_per_second=statistics.median(ceiling for _, ceiling in rounds) if plan.ceiling else None,
            of_ceiling=statistics.median(ours / ceiling for ours, ceiling in rounds) if plan.ceiling else None,
            teraflop_per_second=rate * flop_a_token(encoder) / 1e12,
            reference_tokens_per_second=references.get(one.workload),
            peak_gigabytes=one.peak / 1e9,
            reserved_gigabytes=one.reserved / 1e9,
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
