"""A chunk in, its embeddings out.

For each encoder: the distinct sequences of the chunk, tokenised and packed ahead of the device (`loader.py`), computed
batch by batch (`device.py`), handed out to all rows and written in row order (`output.py`) while the device goes on.
Which sequences share a batch follows from their order and the token budget alone.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from virnucpro_kernels.embed.deduplicate import Distinct, FanOut, find_distinct
from virnucpro_kernels.embed.device import Embeds, Lane, OutOfMemoryError, Submitted, make_lane
from virnucpro_kernels.embed.loader import Loader, Tokenize, Work
from virnucpro_kernels.embed.output import Delivery
from virnucpro_kernels.embed.resume import Parts
from virnucpro_kernels.errors import GpuMemoryError, StoppedError
from virnucpro_kernels.pool.chunk_fasta import Frames
from virnucpro_kernels.pool.embedding_file import EmbeddingWriter, Rows, Vectors
from virnucpro_kernels.pool.provenance import Alphabet, Provenance, encoder_run, with_budget
from virnucpro_kernels.sequences.arrays import SequenceArray

log = logging.getLogger(__name__)

#: Batches in host memory: prepared ahead, on the device, and on their way back.
_SLOTS = 8
#: Fewer rows than this, or an odd number of them, may take another way through a CPU's matrix product.
_PADDING_MULTIPLE = 64
_NUMPY_TYPES: dict[torch.dtype, np.dtype[Any]] = {
    torch.float16: np.dtype(np.float16),
    torch.float32: np.dtype(np.float32),
}


@dataclass(frozen=True)
class Encoder:
    """One encoder, ready to run.

    Attributes:
        kind: which of a frame's two sequences it takes.
        module: on the device.
        tokenize: makes its tokens.
    """

    kind: Alphabet
    module: Embeds
    tokenize: Tokenize


@dataclass
class Measures:
    """What one encoder did to a chunk, for the job's record.

    Attributes:
        sequences: frames of the chunk.
        distinct: distinct sequences among them; each is embedded once.
        resumed: distinct sequences whose vectors an earlier attempt had left.
        batches, tokens, padded_tokens: computed in this attempt; `tokens` without padding.
        packing: share of the token budget that held tokens, over these batches.
        token_budget: tokens of a batch at the end.
        redone: batches computed again with fp32 activations, for vectors that were not finite.
        out_of_memory: times that the budget was halved.
        seconds: from the encoder's turn to the complete file.
        device_seconds: of these, what the device spent on the encoder.
        write_seconds: what writing took; it runs beside the computing.
        tokens_per_second: tokens over seconds.
    """

    sequences: int
    distinct: int
    resumed: int = 0
    batches: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    packing: float = 1.0
    token_budget: int = 0
    redone: int = 0
    out_of_memory: int = 0
    seconds: float = 0.0
    device_seconds: float = 0.0
    write_seconds: float = 0.0
    tokens_per_second: float = 0.0

    def describe(self) -> str:
        """One line for the log."""
        return (
            f"{self.sequences:,} sequences, {self.distinct:,} distinct, {self.resumed:,} there already;"
            f" {self.tokens:,} tokens in {self.seconds:.1f} s ({self.tokens_per_second:,.0f} a second),"
            f" {self.batches:,} batches {self.packing:.1%} full"
            f"{f', {self.redone:,} batches computed again in fp32' if self.redone else ''}"
        )


@dataclass(frozen=True)
class Engine:
    """How chunks are embedded.

    Attributes:
        device: where the encoders are.
        dtype: of the stored vectors, float16 or float32.
        save_seconds: how often finished vectors go to the parts at least; many go sooner.
        progress: told an encoder's kind, how many distinct sequences are done, and how many there are.
        stopped: asked before each batch; once true, what is under way is finished and saved.
    """

    device: torch.device
    dtype: torch.dtype
    save_seconds: float = 60.0
    progress: Callable[[Alphabet, int, int], None] = lambda *_: None
    stopped: Callable[[], bool] = lambda: False

    def embed_chunk(
        self,
        frames: Frames,
        encoders: Mapping[Alphabet, Callable[[], Encoder]],
        provenance: Mapping[Alphabet, Provenance],
        outputs: Mapping[Alphabet, Path],
        parts: Parts,
    ) -> dict[Alphabet, Measures]:
        """Write the embedding files of a chunk.

        Args:
            frames: the chunk.
            encoders: run one after the other; each is made when its turn comes, and let go after it. What can be done
                without them is done first: they may still be on their way into memory.
            provenance: for each kind the attributes of its file, with the token budget to begin with.
            outputs: for each kind its file.
            parts: where progress is kept; the caller removes it.

        Raises:
            GpuMemoryError: a single sequence does not fit.
            StoppedError: `stopped` became true; what was finished is in the parts.
        """
        sequences: dict[Alphabet, SequenceArray] = {"nucleotide": frames.nucleotides, "protein": frames.proteins}
        to_do = {kind: find_distinct(sequences[kind]) for kind in encoders}
        measures = {}
        for kind, make in encoders.items():
            encoder = make()
            run = _EncoderRun(self, encoder, frames.rows, to_do.pop(kind), provenance[kind], parts)
            # The workflow deletes the finished files of a job that fails later on; the parts outlive that.
            measures[kind] = run.write(outputs[kind], save_all=bool(to_do))
            del encoder, run
            if self.device.type == "cuda":
                # The next encoder's activations have other sizes: kept, this memory would only be held.
                torch.cuda.empty_cache()
        return measures

    def padded(self, tokens: int, budget: int) -> int:
        """How many tokens a batch of `tokens` is padded to.

        On a GPU all batches have the same shape: it decides which kernel multiplies the matrices, and so the last
        digits of a result. On a CPU only a few rows or an odd number of them would, and padding costs time.
        """
        multiple = budget if self.device.type == "cuda" and tokens <= budget else _PADDING_MULTIPLE
        return -(-tokens // multiple) * multiple


@dataclass
class _EncoderRun:
    """One encoder on one chunk."""

    engine: Engine
    encoder: Encoder
    rows: Rows
    distinct: Distinct
    provenance: Provenance
    parts: Parts
    done: int = 0
    budget: int = field(init=False)
    budget_tokens: int = 0
    measures: Measures = field(init=False)

    def write(self, path: Path, *, save_all: bool) -> Measures:
        """Take what the parts have, compute the rest, write the file; `save_all` leaves all of it in the parts too."""
        started = time.perf_counter()
        self.measures = measures = Measures(len(self.rows), len(self.distinct))
        self.budget = encoder_run(self.provenance, self.encoder.kind).token_budget
        numpy_type = _NUMPY_TYPES[self.engine.dtype]
        fan_out = FanOut(self.distinct, self.provenance.dimension, numpy_type)
        lane = make_lane(self.encoder.module, self.engine.dtype, self.engine.device)
        with (
            EmbeddingWriter(path, len(self.rows), numpy_type, self.provenance) as writer,
            Delivery(self.rows, fan_out, writer, self._save, self.engine.save_seconds) as delivery,
        ):
            for vectors, budget in self.parts.saved(self.encoder.kind, self.provenance, numpy_type):
                self.budget = budget
                delivery.deliver(vectors, saved=True)
                self.done += len(vectors)
            measures.resumed = self.done
            self.engine.progress(self.encoder.kind, self.done, len(self.distinct))
            self._compute(lane, delivery)
            writer.provenance = with_budget(self.provenance, self.encoder.kind, self.budget)
            if save_all:
                delivery.save()
        measures.token_budget, measures.redone = self.budget, lane.redone
        measures.device_seconds, measures.write_seconds = lane.busy_seconds, delivery.busy_seconds
        measures.packing = measures.tokens / self.budget_tokens if self.budget_tokens else 1.0
        measures.seconds = time.perf_counter() - started
        measures.tokens_per_second = measures.tokens / measures.seconds
        return measures

    def _compute(self, lane: Lane, delivery: Delivery) -> None:
        while self.done < len(self.distinct):
            try:
                for vectors in self._batches(lane):
                    delivery.deliver(vectors)
                    self.done += len(vectors)
                    self.engine.progress(self.encoder.kind, self.done, len(self.distinct))
            except _TooLargeError as error:
                lane.reset()
                if self._is_alone(error.work):
                    delivery.save()
                    # Whoever goes on with this chunk has more memory: it begins with the whole budget.
                    self.parts.keep_budget(self.encoder.kind, self.provenance)
                    raise GpuMemoryError(
                        f"out of memory with a single {self.encoder.kind} sequence of {error.work.tokens:,} tokens"
                        f" ({error}); use a GPU with more memory, --precision fp16, or shorter windows"
                    ) from None
                self._halve_budget(error.work, str(error))
                delivery.save()
            if self.engine.stopped() and self.done < len(self.distinct):
                delivery.save()
                raise StoppedError(
                    f"stopped: {self.done:,} of {len(self.distinct):,} {self.encoder.kind} sequences are saved in"
                    f" {self.parts.directory}; the same command goes on from there"
                )

    def _batches(self, lane: Lane) -> Iterator[Vectors]:
        """Yield the vectors of the batches that are still to do, in order, until `stopped`.

        Raises:
            _TooLargeError: a batch does not fit; this one and those not yet yielded are still to do.
        """
        under_way: deque[Submitted] = deque()
        with Loader(
            self.distinct.sequences,
            self.encoder.tokenize,
            start=self.done,
            budget=self.budget,
            padded=lambda tokens: self.engine.padded(tokens, self.budget),
            slots=_SLOTS,
            pinned=self.engine.device.type == "cuda",
        ) as loader:
            for work in loader:
                if self.engine.stopped():
                    break
                with _too_large(work):
                    under_way.append(lane.submit(work))
                if len(under_way) > lane.ahead:
                    yield self._finish(lane, loader, under_way.popleft())
            while under_way:
                yield self._finish(lane, loader, under_way.popleft())

    def _finish(self, lane: Lane, loader: Loader, submitted: Submitted) -> Vectors:
        work, measures = submitted.work, self.measures
        with _too_large(work):
            vectors = lane.finish(submitted)
        loader.release(work.slot)
        measures.batches += 1
        measures.tokens += work.tokens
        measures.padded_tokens += work.padded_tokens
        self.budget_tokens += self.budget
        return vectors

    def _is_alone(self, work: Work) -> bool:
        """Whether a batch cannot be made smaller."""
        return len(work.lengths) == 1 and work.padded_tokens == self.engine.padded(work.tokens, 0)

    def _halve_budget(self, work: Work, message: str) -> None:
        self.budget //= 2
        self.measures.out_of_memory += 1
        log.warning(
            "out of memory with %d tokens in a batch (%s); going on with at most %d", work.tokens, message, self.budget
        )

    def _save(self, first: int, vectors: Vectors) -> None:
        kind = self.encoder.kind
        self.parts.add(kind, first, vectors, with_budget(self.provenance, kind, self.budget))


class _TooLargeError(Exception):
    """A batch did not fit into memory."""

    def __init__(self, work: Work, message: str) -> None:
        super().__init__(message)
        self.work = work


@contextmanager
def _too_large(work: Work) -> Iterator[None]:
    try:
        yield
    except OutOfMemoryError as error:
        raise _TooLargeError(work, str(error)) from error
