"""The engine alone: an encoder on batches that lie on the device, with no files and no tokenising around it."""

from __future__ import annotations

import itertools
import time

import torch

from virnucpro_kernels.bench.encoders import Batches, Encoder, Workload, make_batches
from virnucpro_kernels.bench.timing import calls_per_second, measure_memory


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
        tokens_per_call, sequences_per_call: Mean content of a batch.
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
        self.sequences_per_call = batches.sequences / len(batches.batches)
        self.rates: list[float] = []
        self.seconds = 0.0
        self._encoder, self._device = encoder, device
        self._at_least = len(batches.batches) if sequences else 1
        self._following = itertools.cycle(batches.batches)
        self.memory = measure_memory(self._embed_all, device)

    @property
    def rows(self) -> int:
        """Tokens of a batch, padding included."""
        return len(self.batches.batches[0].tokens)

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
