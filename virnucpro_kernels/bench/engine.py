"""The engine alone: an encoder on batches that lie on the device, with no files and no tokenising around it."""

from __future__ import annotations

import itertools
import time

import torch

from virnucpro_kernels.bench.encoders import Batches, Encoder, Workload, convert, make_batches, make_encoder
from virnucpro_kernels.bench.timing import calls_a_second, measure_memory
from virnucpro_kernels.embed.encoders import default_budget


def count_sequences(workload: Workload, budget: int) -> int:
    """How many sequences nearly fill four batches."""
    mean = (workload.shortest + workload.longest) / 2
    return max(1, int(3.95 * budget / mean))


class Turns:
    """One workload's turns: an encoder on its batches, again and again.

    Attributes:
        batches: of the workload.
        memory: of the encoder with these batches.
        rates: tokens a second of each turn; padding does not count.
        seconds: that all turns together have taken.
        tokens_a_call, sequences_a_call: of a batch, on average.
    """

    def __init__(
        self, encoder: Encoder, workload: Workload, budget: int, device: torch.device, *, sequences: int = 0
    ) -> None:
        """Make the batches and run each of them once.

        :param sequences: exactly so many, and each turn has at least all of them; 0 for full batches only.
        """
        count = sequences or count_sequences(workload, budget)
        batches = make_batches(workload, count, budget, encoder.config.vocabulary, device)
        if len(batches.batches) > 1 and not sequences:  # the last is not full, and a long run has few of those
            full = batches.batches[:-1]
            batches = Batches(full, sum(int(b.lengths.sum()) for b in full) / (budget * len(full)))
        self.workload, self.batches = workload, batches
        self.tokens_a_call = batches.tokens / len(batches.batches)
        self.sequences_a_call = batches.sequences / len(batches.batches)
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

    def take(self, seconds: float) -> None:
        """Measure once, for about `seconds`."""
        started = time.perf_counter()
        calls = calls_a_second(self._embed, seconds, self._device, at_least=self._at_least)
        self.seconds += time.perf_counter() - started
        self.rates.append(self.tokens_a_call * calls)


def engine_rate(name: str, precision: str, tokens: int, sequences: int, seconds: float, device: torch.device) -> float:
    """Tokens a second of an encoder on batches of the default budget.

    :param name: one of `encoders.CONFIGS`.
    :param tokens: of each sequence, special tokens included.
    :param sequences: how many there are; of very many, those that fill a few batches.
    :param seconds: how long to measure.
    """
    encoder = make_encoder(name, device)
    convert(encoder, precision)
    workload, budget = Workload(tokens, tokens), default_budget(precision, device)
    few = sequences if sequences < count_sequences(workload, budget) else 0
    turns = Turns(encoder, workload, budget, device, sequences=few)
    turns.take(seconds)
    return turns.rates[0]
