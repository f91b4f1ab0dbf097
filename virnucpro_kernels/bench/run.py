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
from virnucpro_kernels.bench.engine import Turns, count_sequences
from virnucpro_kernels.bench.layer import layer_parts, profile_kernels
from virnucpro_kernels.bench.reference import ReferenceRate, measure_reference
from virnucpro_kernels.bench.results import Layer, Rate, Results
from virnucpro_kernels.bench.timing import calls_a_second, copy_bandwidth
from virnucpro_kernels.embed.device import is_out_of_memory
from virnucpro_kernels.embed.encoders import default_budget
from virnucpro_kernels.errors import GpuMemoryError
from virnucpro_kernels.models.esm2 import Esm2

log = logging.getLogger(__name__)

#: Random weights are made in fp32; each precision follows from the one before without another copy.
PRECISIONS = ("fp32", "bf16", "fp16", "fp8")
#: Token budgets of a sweep, as parts of the one to begin with.
_SWEEP = (0.25, 0.5, 1, 1.5, 2, 3)


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        encoder: one of `encoders.CONFIGS`.
        precisions: of `PRECISIONS`; bf16 not together with fp16 or fp8, which share the weights.
        workloads: lengths of sequences.
        token_budget: tokens of a batch, 0 for the default of each precision.
        sweep: measure token budgets from a quarter of this to three times it, until one does not fit into the memory.
        sequences: how many make up the batches; 0 for four full batches.
        rounds, seconds: the engine on each workload and the ceiling in turn, so many times, so long each; with
            `sequences` at least as long as all of them take.
        ceiling, reference, layers: what to measure beside the engine.
        accuracy: sequences of 1 to 1,100 residues whose vectors are compared with those in fp32; 0 for none.
        keep: layers (from 0) that stay fp16 in fp8.
    """

    encoder: str
    precisions: Sequence[str]
    workloads: Sequence[Workload]
    token_budget: int = 0
    sweep: bool = False
    sequences: int = 0
    rounds: int = 5
    seconds: float = 10.0
    ceiling: bool = True
    reference: bool = True
    layers: bool = True
    accuracy: int = 0
    keep: Sequence[int] = ()

    def budget(self, precision: str, device: torch.device) -> int:
        """Tokens of a batch, without a sweep."""
        return self.token_budget or default_budget(precision, device)

    def budgets(self, precision: str, device: torch.device) -> list[int]:
        """Tokens of a batch to measure, ascending."""
        budget = self.budget(precision, device)
        return [int(budget * part) for part in _SWEEP] if self.sweep else [budget]


def run(plan: Plan, device: torch.device, results: Results) -> None:
    """Measure and append to `results`.

    :raises GpuMemoryError: the first token budget does not fit.
    """
    encoder = make_encoder(plan.encoder, device)
    references = {}
    if plan.reference:
        for workload in plan.workloads:
            references[workload] = found = measure_reference(encoder, workload, plan.seconds, device)
            log.info("%s, the original's way, %s: %.0f tokens/s", plan.encoder, workload, found.tokens_per_second)
    exact, samples = None, None
    if plan.accuracy and isinstance(encoder, Esm2):
        samples = _samples(encoder, plan, device)
        exact = vectors(encoder, samples)
    for precision in [name for name in PRECISIONS if name in plan.precisions]:
        convert(encoder, precision, keep=plan.keep)
        budgets = plan.budgets(precision, device)
        for budget in budgets:
            if device.type == "cuda":
                torch.cuda.empty_cache()  # what the weights, or the last budget, took on the way is not this engine's
            try:
                rates = list(_measure(encoder, precision, budget, plan, device, references))
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if budget == budgets[0]:
                    raise GpuMemoryError(
                        f"{plan.encoder} {precision}: batches of {budget} tokens do not fit ({error}); choose a smaller"
                        " --token-budget or --encoder"
                    ) from None
                log.warning(
                    "%s %s: batches of %d tokens and more do not fit (%s)", plan.encoder, precision, budget, error
                )
                break
            for rate in rates:
                share = f", {rate.of_ceiling:.3f} of the ceiling" if rate.of_ceiling else ""
                log.info(
                    "%s %s %s: %.0f tokens/s%s",
                    *(rate.encoder, rate.precision, rate.workload, rate.tokens_per_second, share),
                )
            results.rates += rates
        if plan.layers:
            results.layers += [_layer(encoder, precision, workload, plan, device) for workload in plan.workloads]
        if exact is not None and samples is not None:
            _note(results, compare(precision, False, vectors(encoder, samples), exact))
    del encoder
    if plan.accuracy and samples is not None:
        _measure_outliers(plan, samples, device, results)


def _samples(encoder: Encoder, plan: Plan, device: torch.device) -> Batches:
    budget = max(plan.budget(precision, device) for precision in plan.precisions)
    return make_batches(Workload(3, 1102), plan.accuracy, budget, encoder.config.vocabulary, device)


def _measure_outliers(plan: Plan, samples: Batches, device: torch.device, results: Results) -> None:
    encoder = make_encoder(plan.encoder, device, outliers=True)
    exact = vectors(encoder, samples)
    for precision in [name for name in PRECISIONS if name in plan.precisions]:
        convert(encoder, precision, keep=plan.keep)
        _note(results, compare(precision, True, vectors(encoder, samples), exact))


def _note(results: Results, found: Accuracy) -> None:
    outliers = ", planted outliers" if found.outliers else ""
    log.info("%s%s: worst cosine of %d sequences %.8f", found.precision, outliers, found.sequences, found.worst)
    results.accuracy.append(found)


def _measure(
    encoder: Encoder,
    precision: str,
    budget: int,
    plan: Plan,
    device: torch.device,
    references: Mapping[Workload, ReferenceRate],
) -> Iterator[Rate]:
    """Every round: the engine on each workload, then the ceiling once for each shape that their batches have."""
    turns = [Turns(encoder, workload, budget, device, sequences=plan.sequences) for workload in plan.workloads]
    ceilings = {one.rows: products(encoder, one.rows) for one in turns} if plan.ceiling else {}
    best: dict[int, list[float]] = {rows: [] for rows in ceilings}
    for _ in range(plan.rounds):
        for one in turns:
            one.take(plan.seconds)
        for rows, multiply in ceilings.items():
            best[rows].append(calls_a_second(multiply, plan.seconds, device))
    for one in turns:
        calls = best.get(one.rows, [])
        rounds = list(itertools.zip_longest(one.rates, (one.tokens_a_call * rate for rate in calls), fillvalue=0.0))
        rate, reference = statistics.median(one.rates), references.get(one.workload)
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
            reference_tokens_per_second=reference.tokens_per_second if reference else None,
            reference_sequences_per_second=reference.sequences_per_second if reference else None,
            reference_peak_gigabytes=reference.peak_gigabytes if reference else None,
            peak_gigabytes=one.memory.peak,
            reserved_gigabytes=one.memory.reserved,
            rounds=rounds,
            measured_seconds=one.seconds,
        )


def _layer(encoder: Encoder, precision: str, workload: Workload, plan: Plan, device: torch.device) -> Layer:
    budget = plan.budget(precision, device)
    count = plan.sequences or count_sequences(workload, budget)
    batch = make_batches(workload, count, budget, encoder.config.vocabulary, device).batches[0]
    parts = layer_parts(encoder, batch)
    products = [part for part in parts if part.teraflop]
    best = max(part.teraflop / part.milliseconds for part in products) * 1e15
    kernels = profile_kernels(encoder, batch) if device.type == "cuda" else {}
    return Layer(plan.encoder, precision, str(workload), budget, copy_bandwidth(device), best, parts, kernels)
