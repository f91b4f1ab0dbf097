"""Vectors on their way from the device to the disk: the file of an encoder, and a thread of its own that writes it."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from virnucpro_kernels.embed.deduplicate import FanOut
from virnucpro_kernels.embed.resume import PartialEmbeddings
from virnucpro_kernels.pool.embedding_file import EmbeddingWriter, Rows, Vectors
from virnucpro_kernels.pool.provenance import Alphabet, EncoderRecord, Provenance, encoder_record, with_budget

log = logging.getLogger(__name__)

#: Largest number of results that wait for the disk; `put` waits while there are more.
_MOST_WAITING = 16
#: Size of unsaved vectors at which it is time to save them: they take memory, and `put` may have to wait for the disk.
MOST_UNSAVED_BYTES = 1 << 27


class OutputThread:
    """Context manager that takes the vectors of distinct sequences in order, writes those of all rows, saves progress.

    Vectors are saved when the caller says so, who knows whether the device that made them can be trusted.

    Attributes:
        busy_seconds: Time spent on writing and saving, until the block ends.
    """

    def __init__(
        self,
        rows: Rows,
        fan_out: FanOut,
        writer: EmbeddingWriter,
        save: Callable[[int, Vectors], None],
        save_seconds: float,
    ) -> None:
        """Prepare; the thread starts with the block.

        Args:
            rows: Numbers of all rows of the chunk.
            fan_out: Fan-out of the vectors of distinct sequences to the rows.
            writer: Writer of the embedding file.
            save: Function that saves vectors of distinct sequences, given the number of the first.
            save_seconds: Time after a save at which the next one is due.
        """
        self._rows, self._fan_out, self._writer = rows, fan_out, writer
        self._save, self._save_seconds = save, save_seconds
        self._unsaved: list[Vectors] = []
        self._unsaved_bytes, self._saved_at = 0, time.monotonic()
        self._waiting: deque[Future[None]] = deque()
        self._has_failed = False
        self.busy_seconds = 0.0

    def __enter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="output")
        return self

    def __exit__(self, _: object, error: BaseException | None, traceback: object) -> None:
        self._thread.shutdown()  # an error elsewhere is no reason to lose what has been put
        if error is None:
            self._wait_until(0)
        for lost in filter(None, (one.exception() for one in self._waiting)):
            log.warning("besides, vectors could not be written or saved: %s", lost)

    def put(self, vectors: Vectors, *, saved: bool = False) -> None:
        """Take the next vectors (m, d); those that come from partial files are `saved` already.

        An error in writing earlier vectors is raised here.
        """
        self._submit(self._put, vectors, saved)
        self._unsaved_bytes += 0 if saved else vectors.nbytes
        self._wait_until(_MOST_WAITING)

    @property
    def is_due(self) -> bool:
        """Whether it is time to save: the last time was long ago, or there are many unsaved vectors."""
        late = time.monotonic() - self._saved_at >= self._save_seconds
        return self._unsaved_bytes > 0 and (late or self._unsaved_bytes >= MOST_UNSAVED_BYTES)

    def save(self, *, wait: bool) -> None:
        """Save all vectors that are not saved yet; with `wait`, return when that is done."""
        self._submit(self._save_all)
        self._unsaved_bytes, self._saved_at = 0, time.monotonic()
        if wait:
            self._wait_until(0)

    def finish(self, *, save: bool) -> None:
        """Return once all vectors that have been put are written; with `save`, save the rest of them after that.

        An error in writing is raised here, one in that saving by `check` or at the end of the block.
        """
        self._wait_until(0)
        if save:
            self.save(wait=False)

    def check(self) -> None:
        """Raise an error that has come so far; wait for nothing."""
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft().result()

    def _submit(self, work: Callable[..., None], *arguments: object) -> None:
        self._waiting.append(self._thread.submit(self._work, work, *arguments))

    def _work(self, work: Callable[..., None], *arguments: object) -> None:
        """Work in the thread, unless something has failed there: what follows would be out of order."""
        if self._has_failed:
            return
        started = time.perf_counter()
        try:
            work(*arguments)
        except BaseException:
            self._has_failed = True
            raise
        self.busy_seconds += time.perf_counter() - started

    def _wait_until(self, most: int) -> None:
        while len(self._waiting) > most:
            self._waiting.popleft().result()

    def _put(self, vectors: Vectors, saved: bool) -> None:
        first = self._fan_out.given
        given = self._fan_out.take(vectors)
        self._writer.write(self._rows[first : self._fan_out.given], given)
        if not saved:
            self._unsaved.append(vectors)

    def _save_all(self) -> None:
        if self._unsaved:
            vectors = np.concatenate(self._unsaved)
            self._save(self._fan_out.taken - len(vectors), vectors)
            self._unsaved.clear()


@dataclass
class Destination:
    """Where the vectors of one encoder go: its file, and the partial files of the chunk.

    Attributes:
        alphabet: Alphabet of the encoder.
        provenance: Attributes of the file, with the token budget to begin with.
        partial: Partial files.
        dtype: Type of the stored vectors.
        budget: Token budget of the batches that are computed now; that of the last ones stands in the file.
    """

    alphabet: Alphabet
    provenance: Provenance
    partial: PartialEmbeddings
    dtype: np.dtype[Any]
    budget: int = field(init=False)

    def __post_init__(self) -> None:
        self.budget = self.record.token_budget

    @property
    def record(self) -> EncoderRecord:
        """Record of the encoder, with the token budget to begin with."""
        return encoder_record(self.provenance, self.alphabet)

    @contextmanager
    def open(self, path: Path, rows: Rows, fan_out: FanOut, save_seconds: float) -> Iterator[OutputThread]:
        """Write the file `path` of these rows during the block; arguments as those of `OutputThread`."""
        with EmbeddingWriter(path, len(rows), self.dtype, self.provenance) as writer:
            with OutputThread(rows, fan_out, writer, self._save, save_seconds) as output:
                yield output
            writer.provenance = with_budget(self.provenance, self.alphabet, self.budget)

    def saved(self) -> Iterator[Vectors]:
        """Yield the vectors (m, d) of an earlier attempt in order, and go on with its token budget."""
        for vectors, budget in self.partial.saved(self.alphabet, self.provenance, self.dtype):
            self.budget = budget
            yield vectors

    def none(self) -> Vectors:
        """Return no vectors, (0, d)."""
        return np.empty((0, self.provenance.dimension), self.dtype)

    def _save(self, first: int, vectors: Vectors) -> None:
        self.partial.add(self.alphabet, first, vectors, with_budget(self.provenance, self.alphabet, self.budget))
