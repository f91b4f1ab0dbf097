"""A run of the benchmark: engine and ceiling in turn, for each encoder, precision, token budget and workload."""

from __future__ import annotations

import itertools
import logging
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from virnucpro_kernels.bench.baselines import matrix_products
from virnucpro_kernels.bench.encoders import (
    Batches,
    Encoder,
    Workload,
    convert,
    flop_a_token,
    make_batches,
    make_encoder,
)
from virnucpro_kernels.bench.results import Rate
from virnucpro_kernels.bench.timing import calls_per_second, measure_memory
from virnucpro_kernels.embed.device import is_out_of_memory
from virnucpro_kernels.embed.encoders import default_budget
from virnucpro_kernels.errors import GpuMemoryError

log = logging.getLogger(__name__)

#: Token budgets of a sweep, as multiples of the one to begin with.
_SWEEP = (0.25, 0.5, 1, 1.5, 2, 3)


@dataclass(frozen=True)
class Plan:
    """What to measure of one encoder.

    Attributes:
        encoder: Key of `encoders.CONFIGS`.
        precisions: Names of `encoders.PRECISIONS`.
        workloads: Lengths of sequences.
        token_budget: Tokens of a batch; 0 for the default of each precision.
        sweep: Whether token budgets from a quarter of this to three times it are measured, until one does not fit.
        sequences: Number of sequences in all batches; 0 for four full batches.
        rounds: Number of times that engine and ceiling are measured in turn.
        seconds: Time of each measurement; with `sequences` at least the time that all of them take.
    """

    encoder: str
    precisions: Sequence[str]
    workloads: Sequence[Workload]
    token_budget: int = 0
    sweep: bool = False
    sequences: int = 0
    rounds: int = 5
    seconds: float = 10.0

    def budget(self, precision: str, device: torch.device) -> int:
        """Return the tokens of a batch without a sweep."""
        return self.token_budget or default_budget(precision, device)

    def budgets(self, precision: str, device: torch.device) -> list[int]:
        """Return the token budgets to measure, ascending."""
        budget = self.budget(precision, device)
        return [int(budget * part) for part in _SWEEP] if self.sweep else [budget]

    def encoders(self, device: torch.device, *, keep: Sequence[int] = ()) -> Iterator[tuple[str, Encoder]]:
        """Yield each precision with an encoder in it, made anew: rounded weights cannot become exact again.

        Args:
            device: Device on which encoders are made; there has to be room for two of them.
            keep: Layers (from 0) that stay fp16 in fp8.
        """
        for precision in self.precisions:
            encoder = make_encoder(self.encoder, device)
            convert(encoder, precision, keep=keep)
            yield precision, encoder


def count_sequences(workload: Workload, budget: int) -> int:
    """Return how many sequences nearly fill four batches of `budget` tokens."""
    mean = (workload.shortest + workload.longest) / 2
    return max(1, int(3.95 * budget / mean))


class Turns:
    """Repeated measurements of an encoder on the batches of one workload.

    Attributes:
        workload: Lengths of the sequences.
        batches: Batches that are embedded in turn.
        memory: Memory that the encoder takes with these batches.
        rates: Tokens per second of each measurement; padding does not count.
        seconds: Time of all measurements together.
        tokens_per_call: Mean number of tokens of a batch.
        rows: Tokens of a batch, padding included.
    """

    def __init__(
        self, encoder: Encoder, workload: Workload, budget: int, device: torch.device, *, sequences: int = 0
    ) -> None:
        """Make the batches and run each of them once.

        Args:
            encoder: Encoder in the precision to measure.
            workload: Lengths of the sequences.
            budget: Tokens of a batch.
            device: Device that computes.
            sequences: Number of sequences, of which every measurement embeds at least all; 0 for full batches only.
        """
        count = sequences or count_sequences(workload, budget)
        batches = make_batches(workload, count, budget, encoder.config.vocabulary, device)
        if len(batches.batches) > 1 and not sequences:  # the last batch is not full; a long run has few such batches
            full = batches.batches[:-1]
            batches = Batches(full, sum(int(b.lengths.sum()) for b in full) / (budget * len(full)))
        self.workload, self.batches = workload, batches
        self.tokens_per_call = batches.tokens / len(batches.batches)
        self.rows = len(batches.batches[0].tokens)
        self.rates: list[float] = []
        self.seconds = 0.0
        self._encoder, self._device = encoder, device
        self._at_least = len(batches.batches) if sequences else 1
        self._following = itertools.cycle(batches.batches)
        self.memory = measure_memory(self._embed_all, device)

    def _embed(self) -> torch.Tensor:
        return self._encoder.embed(next(self._following))

    def _embed_all(self) -> None:
        for _ in self.batches.batches:
            self._embed()

    def measure(self, seconds: float) -> None:
        """Measure once, for about `seconds`."""
        started = time.perf_counter()
        calls = calls_per_second(self._embed, seconds, self._device, at_least=self._at_least)
        self.seconds += time.perf_counter() - started
        self.rates.append(self.tokens_per_call * calls)


def measure_plan(plan: Plan, device: torch.device) -> Iterator[Rate]:
    """Make the encoder in each precision and yield its rates.

    Raises:
        GpuMemoryError: not even batches of the first token budget fit into the GPU's memory.
    """
    for precision, encoder in plan.encoders(device):
        yield from measure_precision(encoder, precision, plan, device)


def measure_precision(encoder: Encoder, precision: str, plan: Plan, device: torch.device) -> Iterator[Rate]:
    """Yield the rates of an encoder in the precision that it has now, for all token budgets and workloads.

    Raises:
        GpuMemoryError: not even batches of the first token budget fit into the GPU's memory.
    """
    budgets = plan.budgets(precision, device)
    for budget in budgets:
        if device.type == "cuda":
            torch.cuda.empty_cache()  # conversion, or the last budget, took memory that does not count as this one's
        try:
            rates = list(_measure_budget(encoder, precision, budget, plan, device))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if budget == budgets[0]:
                raise GpuMemoryError(
                    f"{plan.encoder} {precision}: batches of {budget} tokens do not fit ({error}); choose a smaller"
                    " --token-budget or --encoder"
                ) from None
            log.warning("%s %s: batches of %d tokens and more do not fit (%s)", plan.encoder, precision, budget, error)
            return
        for rate in rates:
            log.info(
                "%s %s %s: %.0f tokens/s, %.3f of the ceiling",
                *(rate.encoder, rate.precision, rate.workload, rate.tokens_per_second, rate.of_ceiling),
            )
        yield from rates


def _measure_budget(encoder: Encoder, precision: str, budget: int, plan: Plan, device: torch.device) -> Iterator[Rate]:
    """In every round measure the engine on each workload, then the ceiling once for each shape of their batches."""
    turns = [Turns(encoder, workload, budget, device, sequences=plan.sequences) for workload in plan.workloads]
    ceilings = {each.rows: matrix_products(encoder, each.rows) for each in turns}
    ceiling_calls: dict[int, list[float]] = {rows: [] for rows in ceilings}
    for number in range(plan.rounds):
        log.info(
            "%s %s, batches of %d tokens: round %d of %d", plan.encoder, precision, budget, number + 1, plan.rounds
        )
        for each in turns:
            each.measure(plan.seconds)
        for rows, multiply in ceilings.items():
            ceiling_calls[rows].append(calls_per_second(multiply, plan.seconds, device))
    for each in turns:
        rounds = [
            (rate, each.tokens_per_call * calls)
            for rate, calls in zip(each.rates, ceiling_calls[each.rows], strict=True)
        ]
        rate = statistics.median(each.rates)
        yield Rate(
            encoder=plan.encoder,
            precision=precision,
            workload=str(each.workload),
            token_budget=budget,
            tokens_per_second=rate,
            sequences_per_second=rate * each.batches.sequences / each.batches.tokens,
            packing=each.batches.utilisation,
            ceiling_tokens_per_second=statistics.median(ceiling for _, ceiling in rounds),
            of_ceiling=statistics.median(engine / ceiling for engine, ceiling in rounds),
            teraflop_per_second=rate * flop_a_token(encoder) / 1e12,
            peak_gigabytes=each.memory.peak,
            reserved_gigabytes=each.memory.reserved,
            rounds=rounds,
            measured_seconds=each.seconds,
        )
