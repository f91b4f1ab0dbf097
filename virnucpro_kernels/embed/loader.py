"""Batches ahead of the device: one thread tokenises, and another plans and packs them into buffers that are used again
and again.

Tokens take no more memory than the sequences that they are of, but for two bytes a protein, so a job that waits for a
GPU makes all of them ahead: a GPU is faster at DNABERT-S than a core at byte pairs.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch

from virnucpro_kernels.ops.packing import PackedBatch, TokenArray, pack, plan_batches
from virnucpro_kernels.sequences.arrays import Int64s, SequenceArray

Tokenize = Callable[[SequenceArray], TokenArray]
_TOKENIZED_AT_ONCE = 4096


class Buffer:
    """Reusable memory, allocated larger than needed: batches differ in size, and an allocation may stall the GPU."""

    def __init__(self, **options: Any) -> None:
        """`options` are those of `torch.empty`, the size and the type apart."""
        self._options = options
        self._memory = torch.empty(0)

    def take(self, size: int, dtype: torch.dtype) -> torch.Tensor:
        """Return memory for `size` values, (size,), whose earlier content is lost."""
        if len(self._memory) < size or self._memory.dtype != dtype:
            self._memory = torch.empty(size + size // 4, dtype=dtype, **self._options)
        return self._memory[:size]


class Slot:
    """Host memory of one batch, page-locked for a GPU, so that a copy to it or from it runs beside the host's work.

    Attributes:
        batch: Memory of the batch in one piece, int32; see `lay_out`.
        result: Memory of vectors and flag that come back from the device.
    """

    def __init__(self, *, pinned: bool) -> None:
        self.batch, self.result = Buffer(pin_memory=pinned), Buffer(pin_memory=pinned)


@dataclass(frozen=True)
class Work:
    """One batch on the host.

    Attributes:
        first: Number of its first sequence.
        lengths: Number of tokens of each sequence, int64 (B,).
        padded_tokens: Number of tokens with the padding, T.
        flat: Tokens, positions, offsets and spans in one piece, int32 (2T + 3B + 1,), so that one copy brings them to
            the device.
        slot: Slot that has the memory of `flat`.
    """

    first: int
    lengths: Int64s
    padded_tokens: int
    flat: torch.Tensor
    slot: Slot

    @property
    def tokens(self) -> int:
        """Tokens without the padding."""
        return int(self.lengths.sum())

    def packed(self, flat: torch.Tensor) -> PackedBatch:
        """Return the batch as views of `flat`, which is that of this batch or a copy of it on a device."""
        size, count = self.padded_tokens, len(self.lengths)
        tokens, positions, cu_seqlens, spans = torch.split(flat, [size, size, count + 1, 2 * count])
        return PackedBatch(tokens, cu_seqlens, positions, spans.view(count, 2), self.lengths)


def lay_out(first: int, batch: PackedBatch, slot: Slot) -> Work:
    """Copy a packed batch into the memory of `slot`."""
    parts = (batch.tokens, batch.positions, batch.cu_seqlens, batch.spans.flatten())
    flat = slot.batch.take(sum(map(len, parts)), torch.int32)
    torch.cat(parts, out=flat)
    return Work(first, batch.lengths, len(batch.tokens), flat, slot)


class Loader:
    """Context manager and iterator over the batches of `sequences` from number `start` on, prepared ahead.

    Whoever takes a batch returns its slot with `release` when neither batch nor result are needed any more.
    """

    def __init__(
        self,
        sequences: SequenceArray,
        tokenize: Tokenize,
        *,
        start: int,
        budget: int,
        padded: Callable[[int], int],
        slots: int,
        pinned: bool,
    ) -> None:
        """Prepare to load.

        Args:
            sequences: Sequences to compute.
            tokenize: Tokenizer, as a function of some of them.
            start: Number of the first sequence to load.
            budget: Largest number of tokens of a batch, see `plan_batches`.
            padded: Function from a batch's number of tokens to its number with padding.
            slots: Largest number of batches in memory, taken or ahead.
            pinned: Whether to use page-locked memory.
        """
        self._sequences, self._tokenize = sequences, tokenize
        self._start, self._budget, self._padded = start, budget, padded
        self._free: queue.SimpleQueue[Slot | None] = queue.SimpleQueue()
        for _ in range(slots):
            self._free.put(Slot(pinned=pinned))
        self._ready: queue.SimpleQueue[Work | BaseException | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="loader", daemon=True)
        self._tokenizer = ThreadPoolExecutor(1, thread_name_prefix="tokenizer")
        self._tokens: deque[Future[TokenArray]] = deque()

    def __enter__(self) -> Self:
        count = len(self._sequences)
        for start in range(self._start, count, _TOKENIZED_AT_ONCE):
            part = self._sequences.slice(start, min(start + _TOKENIZED_AT_ONCE, count))
            self._tokens.append(self._tokenizer.submit(self._tokenize, part))
        self._thread.start()
        return self

    def __iter__(self) -> Iterator[Work]:
        while (work := self._ready.get()) is not None:
            if isinstance(work, BaseException):
                raise work
            yield work

    def release(self, slot: Slot) -> None:
        """Give the memory of a batch back."""
        self._free.put(slot)

    def __exit__(self, *_: object) -> None:
        self._free.put(None)
        # What the thread waits for may be cancelled here: it ends with that error, which nobody takes.
        self._tokenizer.shutdown(cancel_futures=True)
        self._thread.join()

    def _run(self) -> None:
        try:
            for first, tokens, batch in self._planned():
                slot = self._free.get()
                if slot is None:  # the block ended before the sequences did
                    return
                total = self._padded(int(tokens.offsets[batch.stop] - tokens.offsets[batch.start]))
                self._ready.put(lay_out(first + batch.start, pack(tokens, batch, total_tokens=total), slot))
            self._ready.put(None)
        except BaseException as error:  # raised in the thread that waits for batches
            self._ready.put(error)

    def _planned(self) -> Iterator[tuple[int, TokenArray, slice]]:
        """Yield (number of the first tokenised sequence, tokenised sequences, slice of them that is a batch).

        Sequences are tokenised a few thousand at a time. The last batch of such a group may not be full: its sequences
        wait for the next group, so that the batches are the same as if all sequences were planned at once.
        """
        first, waiting = self._start, TokenArray(np.empty(0, np.uint8), np.zeros(1, np.int64))
        while self._tokens:
            tokens = _joined(waiting, self._tokens.popleft().result())
            batches = plan_batches(tokens.lengths, self._budget)
            last = batches.pop() if self._tokens else None
            for batch in batches:
                yield first, tokens, batch
            if last is not None:
                waiting = TokenArray(
                    tokens.tokens[tokens.offsets[last.start] :],
                    tokens.offsets[last.start :] - tokens.offsets[last.start],
                )
                first += last.start


def _joined(one: TokenArray, other: TokenArray) -> TokenArray:
    if not len(one):
        return other
    return TokenArray(
        np.concatenate([one.tokens, other.tokens]),
        np.concatenate([one.offsets, one.offsets[-1] + other.offsets[1:]]),
    )
