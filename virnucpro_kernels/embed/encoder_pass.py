"""One encoder on one chunk: the canaries, the batches, what is saved on the way, and what goes wrong.

What is saved has been computed by a device whose canaries have not changed. Where memory runs out, batches get smaller.
"""

import logging
import random
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from virnucpro_kernels.embed.canaries import Canaries
from virnucpro_kernels.embed.deduplicate import Distinct
from virnucpro_kernels.embed.device import BatchRunner, OutOfMemoryError, Submitted, make_runner
from virnucpro_kernels.embed.known import Completion, Known
from virnucpro_kernels.embed.loader import Loader, Work
from virnucpro_kernels.embed.measures import Measures
from virnucpro_kernels.embed.output import Destination, OutputThread
from virnucpro_kernels.errors import FaultyDeviceError, GpuMemoryError, NotFiniteError, StoppedError
from virnucpro_kernels.pool.embedding_file import Vectors
from virnucpro_kernels.sequences.arrays import Int64s, SequenceArray

if TYPE_CHECKING:
    from virnucpro_kernels.embed.engine import Encoder, Engine

log = logging.getLogger(__name__)

#: Number of batches in host memory, beside those submitted ahead: prepared, and on their way back.
_SLOTS = 6


@dataclass
class EncoderPass:
    """One encoder on one chunk."""

    engine: "Engine"
    encoder: "Encoder"
    distinct: Distinct
    known: Known
    destination: Destination
    earlier: tuple[OutputThread, ...] = ()
    done: int = 0
    budget_tokens: int = 0
    waited_seconds: float = 0.0
    measures: Measures = field(init=False)
    canaries: Canaries = field(init=False)
    completion: Completion = field(init=False)
    to_compute: SequenceArray = field(init=False)
    twice: Int64s = field(default_factory=lambda: np.empty(0, np.int64))

    def compute(self, output: OutputThread, *, save_all: bool) -> Measures:
        """Read the partial files, compute the rest; `save_all` keeps all vectors in partial files."""
        started = time.perf_counter()
        self.measures = measures = Measures(len(self.distinct.of_row), len(self.distinct))
        runner = make_runner(self.encoder.module, self.engine.dtype, self.engine.device)
        letters = len(self.distinct.sequences.data)
        self.canaries = Canaries.of(self.encoder.alphabet, self.encoder.tokenize, letters, self.engine.name)
        for vectors in self.destination.saved():
            output.put(vectors, saved=True)
            self.done += len(vectors)
        measures.resumed = self.done
        self.completion = Completion(self.known, self.done, len(self.distinct))
        self.to_compute = self.distinct.sequences.take(self.completion.unknown)
        measures.cached = self.completion.known
        self._put(output, self.destination.none())
        if len(self.to_compute):
            self.twice = self._choose_twice(len(self.to_compute))
            self._look_first(runner)
            self._compute(runner, output)
            self._look(runner)
            measures.canaries = len(self.canaries.batch.lengths)
        output.finish(save=save_all)
        measures.token_budget, measures.recomputed = self.destination.budget, runner.recomputed
        measures.device_seconds = runner.busy_seconds
        measures.packing = measures.tokens / self.budget_tokens if self.budget_tokens else 1.0
        measures.seconds = time.perf_counter() - started - self.waited_seconds
        measures.tokens_per_second = measures.tokens / measures.seconds
        return measures

    def _choose_twice(self, sequences: int) -> Int64s:
        """Return the sequences whose batches are computed twice, ascending: one at random of each of equal parts."""
        edges = np.linspace(0, sequences, min(self.engine.twice, sequences) + 1).astype(np.int64).tolist()
        return np.array([random.randrange(*part) for part in pairwise(edges)], np.int64)

    def _look_first(self, runner: BatchRunner) -> None:
        """Compute the canaries for the first time, before the device's turn unless they do not fit beside other work.

        A process takes time to launch its first kernels, and this has passed when the turn comes.
        """
        try:
            self._look(runner)
            return
        except GpuMemoryError:
            runner.reset()
        self._begin()
        self._look(runner)

    def _begin(self) -> None:
        """Wait for the device's turn, which is no time of this encoder."""
        started = time.perf_counter()
        self.engine.begin()
        self.waited_seconds += time.perf_counter() - started

    def _look(self, runner: BatchRunner) -> None:
        """Compare the canaries, see `Canaries.look`."""
        self.canaries.look(runner, self.encoder.canaries, self.destination.record.precision)

    def _compute(self, runner: BatchRunner, output: OutputThread) -> None:
        while self.completion.taken < len(self.to_compute):
            try:
                for vectors in self._batches(runner):
                    self._put(output, vectors)
                    if output.is_due:
                        self._save(runner, output, wait=False)
            except NotFiniteError:
                with suppress(GpuMemoryError):  # then nothing can be said of the device
                    self._look(runner)
                raise
            except OutOfMemoryError as error:
                runner.reset()
                if self._is_alone(error.work):
                    self._save(runner, output, wait=True)
                    # The next attempt will have more memory: it begins with the whole budget.
                    self.destination.partial.keep_budget(self.encoder.alphabet, self.destination.provenance)
                    raise GpuMemoryError(
                        f"out of memory with a single {self.encoder.alphabet} sequence of {error.work.tokens:,} tokens"
                        f" ({error}); use a GPU with more memory, --precision fp16, or shorter windows"
                    ) from None
                self._halve_budget(error.work, str(error))
                self._save(runner, output, wait=True)
            if self.engine.stopped() and self.completion.taken < len(self.to_compute):
                self._look(runner)
                output.save(wait=True)
                raise StoppedError(
                    f"stopped: {self.done:,} of {len(self.distinct):,} {self.encoder.alphabet} sequences are saved in"
                    f" {self.destination.partial.directory}; the same command goes on from there"
                )

    def _save(self, runner: BatchRunner, output: OutputThread, *, wait: bool) -> None:
        """Save what has been put, which only a device that is as it was at the beginning can have computed rightly.

        Without memory for the canaries nothing is saved this time.
        """
        with suppress(GpuMemoryError):
            self._look(runner)
            output.save(wait=wait)

    def _put(self, output: OutputThread, computed: Vectors) -> None:
        """Hand the next computed vectors on, and with them those of the known sequences between them."""
        for one in self.earlier:
            one.check()
        vectors = self.completion.take(computed)
        if len(vectors):
            output.put(vectors)
        self.done += len(vectors)
        self.engine.progress(self.encoder.alphabet, self.done, len(self.distinct))

    def _batches(self, runner: BatchRunner) -> Iterator[Vectors]:
        """Yield the vectors of the batches that are still to do, in order, until `stopped`.

        Raises:
            OutOfMemoryError: a batch does not fit; this one and those not yet yielded are still to do.
        """
        # `runner.ahead` batches are submitted beyond the one whose vectors are waited for, so that a GPU always has the
        # next one in its queue. A slot goes back to the loader only when the vectors have left it, in `_finish`.
        under_way: deque[Submitted] = deque()
        with Loader(
            self.to_compute,
            self.encoder.tokenize,
            start=self.completion.taken,
            budget=self.destination.budget,
            padded=lambda tokens: self.engine.padded(tokens, self.destination.budget),
            slots=_SLOTS + runner.ahead,
            pinned=self.engine.device.type == "cuda",
        ) as loader:
            self._begin()
            for work in loader:
                if self.engine.stopped():
                    break
                under_way.append(runner.submit(work))
                if len(under_way) > runner.ahead:
                    yield self._finish(runner, loader, under_way.popleft())
            while under_way:
                yield self._finish(runner, loader, under_way.popleft())

    def _finish(self, runner: BatchRunner, loader: Loader, submitted: Submitted) -> Vectors:
        work, measures = submitted.work, self.measures
        vectors = runner.finish(submitted)
        part = np.searchsorted(self.twice, (self.completion.taken, self.completion.taken + len(vectors)))
        if part[0] < part[1]:
            self._compute_again(runner, work, vectors)
        loader.release(work.slot)
        measures.batches += 1
        measures.tokens += work.tokens
        measures.padded_tokens += work.padded_tokens
        self.budget_tokens += self.destination.budget
        return vectors

    def _compute_again(self, runner: BatchRunner, work: Work, vectors: Vectors) -> None:
        again = None
        with suppress(NotFiniteError):  # as they were the first time
            again = runner.finish(runner.submit(work))
        if again is None or again.tobytes() != vectors.tobytes():
            raise FaultyDeviceError(
                f"{self.engine.name} computes wrong numbers: {len(work.lengths)} {self.encoder.alphabet} sequences had"
                " other vectors the second time; nothing of this chunk is kept. Use another device, and have this one"
                " examined"
            )
        self.measures.computed_twice += 1

    def _is_alone(self, work: Work) -> bool:
        """Whether a batch is a single sequence with the least padding, so that it cannot be made smaller."""
        return len(work.lengths) == 1 and work.padded_tokens == self.engine.padded(work.tokens, 0)

    def _halve_budget(self, work: Work, message: str) -> None:
        self.destination.budget //= 2
        self.measures.out_of_memory += 1
        log.warning(
            "out of memory with %d tokens in a batch (%s); going on with at most %d",
            work.tokens,
            message,
            self.destination.budget,
        )
