"""Computing of batches: on the CPU at once, or on a GPU between two copies that run beside the computing.

A batch with a value that is not finite is computed again with fp32 activations, to replace the vectors that were not
finite. The device itself computes a flag and sends it along with the vectors; the host reads it when they have arrived,
and never waits for it.
"""

import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch
from torch import nn

from virnucpro_kernels.embed.loader import Buffer, Slot, Work
from virnucpro_kernels.errors import VirnucproError
from virnucpro_kernels.models.upcast import fp32_activations
from virnucpro_kernels.ops.packing import PackedBatch
from virnucpro_kernels.pool.embedding_file import Vectors

#: Substrings of out-of-memory messages; only PyTorch's own on the GPU has an exception type of its own. cuBLAS
#: allocates memory at the first product, and on a full GPU reports the lack of it as "not initialised".
_OUT_OF_MEMORY = (
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "DefaultCPUAllocator",
    "Cannot allocate memory",
)


class Embeds(Protocol):
    """An encoder, as the engine uses it."""

    def embed(self, batch: PackedBatch) -> torch.Tensor:
        """Return one vector a sequence, fp32 (B, d)."""


class OutOfMemoryError(Exception):
    """The batch `work` did not fit into memory."""

    def __init__(self, message: str, work: Work) -> None:
        super().__init__(message)
        self.work = work


@dataclass(frozen=True)
class Submitted:
    """A batch under way, and the memory of its result on the host: vectors and flag, (B * d + 1,)."""

    work: Work
    result: torch.Tensor

    def vectors(self) -> Vectors:
        """Return a copy of the vectors (B, d): the memory of `result` goes to another batch."""
        vectors: Vectors = self.result[:-1].view(len(self.work.lengths), -1).numpy().copy()
        return vectors


class BatchRunner(ABC):
    """Computes batches in the order of `submit`; `finish` waits for one and returns its vectors.

    Attributes:
        ahead: Number of batches to submit beyond the one whose result is waited for.
        recomputed: Number of batches that were computed again with fp32 activations, for some of their sequences.
        busy_seconds: Time that the device has spent on finished batches.
    """

    ahead = 0

    def __init__(self, encoder: Embeds, dtype: torch.dtype) -> None:
        """`encoder` is on the runner's device; `dtype` is the type of the vectors to return."""
        self.encoder, self.dtype = encoder, dtype
        self.recomputed = 0
        self.busy_seconds = 0.0

    def submit(self, work: Work) -> Submitted:
        """Begin with a batch.

        Raises:
            OutOfMemoryError: the batch does not fit; the batches before it are not affected.
        """
        return _noticing_memory(work, self._submit)

    def finish(self, submitted: Submitted) -> Vectors:
        """Return the vectors (B, d) of a batch.

        Raises:
            OutOfMemoryError: vectors were not finite, and with fp32 activations the batch does not fit.
            VirnucproError: vectors are not finite even with fp32 activations.
        """
        self._wait(submitted)
        vectors = submitted.vectors()
        if not submitted.result[-1]:
            self.recomputed += 1
            exact = _noticing_memory(submitted.work, self._recompute)
            if not exact.result[-1]:
                sequence = submitted.work.first + int(np.argmin(np.isfinite(exact.vectors()).all(axis=1)))
                raise VirnucproError(
                    f"the vector of distinct sequence {sequence} is not finite, even with fp32 activations: these are"
                    " not the weights of a working encoder (check them with `virnucpro weights verify`)"
                )
            # Finite vectors are kept: the vector of a sequence must not depend on those that share its batch.
            broken = ~np.isfinite(vectors).all(axis=1)
            vectors[broken] = exact.vectors()[broken]
        return vectors

    def _recompute(self, work: Work) -> Submitted:
        with self._computing(), fp32_activations(cast("nn.Module", self.encoder)):
            submitted = self._submit(work)
            self._wait(submitted)
        return submitted

    @torch.inference_mode()
    def _embed(self, batch: PackedBatch) -> torch.Tensor:
        """Return vectors and flag in one piece, (B * d + 1,)."""
        vectors = self.encoder.embed(batch)
        return torch.cat((vectors.flatten(), vectors.isfinite().all().view(1))).to(self.dtype)

    @abstractmethod
    def _submit(self, work: Work) -> Submitted: ...

    @abstractmethod
    def _wait(self, submitted: Submitted) -> None: ...

    @abstractmethod
    def _computing(self) -> AbstractContextManager[object]:
        """Return the context for all work on the weights."""

    @abstractmethod
    def reset(self) -> None:
        """Free cached memory once no batch is being computed."""


class CpuRunner(BatchRunner):
    """Computes at once."""

    def _submit(self, work: Work) -> Submitted:
        started = time.perf_counter()
        result = self._embed(work.packed(work.flat))
        self.busy_seconds += time.perf_counter() - started
        return Submitted(work, result)

    def _wait(self, submitted: Submitted) -> None:
        pass

    def _computing(self) -> AbstractContextManager[object]:
        return nullcontext()

    def reset(self) -> None:
        """Do nothing: the allocator keeps no memory."""


@dataclass(frozen=True)
class _OnGpu(Submitted):
    started: torch.cuda.Event
    computed: torch.cuda.Event
    returned: torch.cuda.Event


class CudaRunner(BatchRunner):
    """Computes on a GPU: one copy in, the encoder, one copy out, each on a CUDA stream of its own.

    The memory of a slot, on the GPU and on the host, belongs to one batch from `submit` until `finish` has returned.
    Within that time events order copy, computing and copy; so no buffer is written while another stream reads it.
    """

    ahead = 2

    def __init__(self, encoder: Embeds, dtype: torch.dtype, device: torch.device) -> None:
        """`encoder` is on `device`, and all work on its weights is queued on the current stream."""
        super().__init__(encoder, dtype)
        self._device = device
        self._in, self._compute, self._out = (
            torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            for _ in range(3)
        )
        self._compute.wait_stream(torch.cuda.current_stream(device))
        # Memory on the device for the batch of each slot.
        self._buffers: defaultdict[Slot, Buffer] = defaultdict(lambda: Buffer(device=device))

    def _submit(self, work: Work) -> _OnGpu:
        arrived, started, computed, returned = (
            torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            for _ in range(4)
        )
        with torch.cuda.stream(self._in):
            flat = self._buffers[work.slot].take(len(work.flat), torch.int32)
            flat.copy_(work.flat, non_blocking=True)
            arrived.record()
        with torch.cuda.stream(self._compute):
            arrived.wait()
            started.record()
            result = self._embed(work.packed(flat))
            computed.record()
        with torch.cuda.stream(self._out):
            computed.wait()
            on_host = work.slot.result.take(len(result), result.dtype)
            on_host.copy_(result, non_blocking=True)
            # The allocator must not hand this memory to the next batch before it is copied.
            result.record_stream(self._out)
            returned.record()
        return _OnGpu(work, on_host, started, computed, returned)

    def _wait(self, submitted: Submitted) -> None:
        on_gpu = cast("_OnGpu", submitted)
        on_gpu.returned.synchronize()
        self.busy_seconds += on_gpu.started.elapsed_time(on_gpu.computed) / 1e3

    def _computing(self) -> AbstractContextManager[object]:
        return torch.cuda.stream(self._compute)

    def reset(self) -> None:
        """Give cached memory back to the driver."""
        torch.cuda.synchronize(self._device)
        self._buffers.clear()
        torch.cuda.empty_cache()


def make_runner(encoder: Embeds, dtype: torch.dtype, device: torch.device) -> BatchRunner:
    """Return the runner for `device`."""
    return CudaRunner(encoder, dtype, device) if device.type == "cuda" else CpuRunner(encoder, dtype)


def is_out_of_memory(error: Exception) -> bool:
    """Whether `error` says that memory ran out, on a GPU or on the host."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in _OUT_OF_MEMORY)


def _noticing_memory(work: Work, compute: Callable[[Work], Submitted]) -> Submitted:
    try:
        return compute(work)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        message = str(error)
    # Raised here, not above: the first exception's traceback holds the tensors of the batch that failed.
    raise OutOfMemoryError(message.splitlines()[0], work)
