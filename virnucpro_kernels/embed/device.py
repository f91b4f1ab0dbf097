"""Computing of batches: on the CPU one on each thread, or on a GPU between two copies that run beside the computing.

A batch with a value that is not finite is computed again with fp32 activations, to replace the vectors that were not
finite. The device itself computes a flag and sends it along with the vectors; the host reads it when they have arrived,
and never waits for it.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast

import numpy as np
import torch
from torch import nn

from virnucpro_kernels.embed.loader import Buffer, Slot, Work
from virnucpro_kernels.errors import GpuMemoryError, NotFiniteError
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
    """A batch under way."""

    work: Work


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
            NotFiniteError: vectors are not finite even with fp32 activations.
        """
        work = submitted.work
        vectors, finite = _unpack(_noticing_memory(work, lambda _: self._wait(submitted)), work)
        if not finite:
            self.recomputed += 1
            exact, finite = _unpack(_noticing_memory(work, self._recompute), work)
            if not finite:
                count = int((~np.isfinite(exact).all(axis=1)).sum())
                raise NotFiniteError(
                    f"the vectors of {count} sequences are not finite, even with fp32 activations: these are not the"
                    " weights of a working encoder (check them with `virnucpro weights verify`)"
                )
            # Finite vectors are kept: the vector of a sequence must not depend on those that share its batch.
            broken = ~np.isfinite(vectors).all(axis=1)
            vectors[broken] = exact[broken]
        return vectors

    def probe(self, batch: PackedBatch) -> Vectors:
        """Return the vectors (B, d) of a batch on the host, fp32 whatever the type of the others, at once.

        Raises:
            GpuMemoryError: the batch does not fit.
        """
        try:
            return self._probe(batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        self.reset()
        try:
            return self._probe(batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise GpuMemoryError(f"out of memory with {len(batch.tokens)} tokens; use a GPU with more memory") from None

    @torch.inference_mode()
    def _vectors_of(self, batch: PackedBatch) -> Vectors:
        vectors: Vectors = self.encoder.embed(batch).cpu().numpy()
        return vectors

    @abstractmethod
    def _probe(self, batch: PackedBatch) -> Vectors: ...

    def _recompute(self, work: Work) -> torch.Tensor:
        with self._computing(), fp32_activations(cast("nn.Module", self.encoder)):
            return self._wait(self._submit(work))

    @torch.inference_mode()
    def _embed(self, batch: PackedBatch) -> torch.Tensor:
        """Return vectors and flag in one piece, (B * d + 1,)."""
        vectors = self.encoder.embed(batch)
        return torch.cat((vectors.flatten(), vectors.isfinite().all().view(1))).to(self.dtype)

    @abstractmethod
    def _submit(self, work: Work) -> Submitted: ...

    @abstractmethod
    def _wait(self, submitted: Submitted) -> torch.Tensor:
        """Return vectors and flag, on the host, in memory that goes to another batch with the slot of this one."""

    @abstractmethod
    def _computing(self) -> AbstractContextManager[object]:
        """Return the context for all work on the weights, in which no earlier batch reads them."""

    @abstractmethod
    def reset(self) -> None:
        """Free cached memory once no batch is being computed."""


@dataclass(frozen=True)
class _OnCpu(Submitted):
    computed: Future[torch.Tensor]


class CpuRunner(BatchRunner):
    """Computes as many batches at a time as PyTorch may use threads, each on one of them.

    Threads that share one product wait for each other at its end, hundreds of times a batch. On a machine with other
    work, or with fewer cores than threads, such waiting costs more than the computing.
    """

    def __init__(self, encoder: Embeds, dtype: torch.dtype) -> None:
        super().__init__(encoder, dtype)
        self._threads = torch.get_num_threads()
        self.ahead = self._threads - 1
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="compute", initializer=_use_one_thread)
        started = threading.Barrier(self._threads + 1)
        for _ in range(self._threads):
            self._pool.submit(started.wait)
        started.wait()
        # What a thread sets holds for others too, until they set it themselves.
        torch.set_num_threads(self._threads)
        self._under_way: set[Future[torch.Tensor]] = set()

    def _submit(self, work: Work) -> _OnCpu:
        computed = self._pool.submit(self._compute, work)
        self._under_way = {future for future in self._under_way if not future.done()} | {computed}
        return _OnCpu(work, computed)

    def _compute(self, work: Work) -> torch.Tensor:
        started = time.perf_counter()
        result = self._embed(work.packed(work.flat))
        self.busy_seconds += (time.perf_counter() - started) / self._threads
        return result

    def _wait(self, submitted: Submitted) -> torch.Tensor:
        return cast("_OnCpu", submitted).computed.result()

    def _probe(self, batch: PackedBatch) -> Vectors:
        return self._pool.submit(self._vectors_of, batch).result()

    @contextmanager
    def _computing(self) -> Iterator[None]:
        wait(self._under_way)
        yield

    def reset(self) -> None:
        """Wait for the batches under way; the allocator keeps no memory."""
        wait(self._under_way)


def _use_one_thread() -> None:
    """Let this thread compute alone."""
    # A thread that computes for the first time takes the number that was set last, by whatever thread, unless it has
    # asked for the number before.
    torch.get_num_threads()
    torch.set_num_threads(1)


@dataclass(frozen=True)
class _OnGpu(Submitted):
    result: torch.Tensor
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

    def _wait(self, submitted: Submitted) -> torch.Tensor:
        on_gpu = cast("_OnGpu", submitted)
        on_gpu.returned.synchronize()
        self.busy_seconds += on_gpu.started.elapsed_time(on_gpu.computed) / 1e3
        return on_gpu.result

    def _probe(self, batch: PackedBatch) -> Vectors:
        with self._computing():
            return self._vectors_of(batch.to(self._device))

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


def _unpack(result: torch.Tensor, work: Work) -> tuple[Vectors, bool]:
    """Return a copy of the vectors (B, d), and whether all of them are finite."""
    vectors: Vectors = result[:-1].view(len(work.lengths), -1).numpy().copy()
    return vectors, bool(result[-1])


_Result = TypeVar("_Result")


def _noticing_memory(work: Work, compute: Callable[[Work], _Result]) -> _Result:
    try:
        return compute(work)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        message = str(error) or type(error).__name__
    # Raised here, not above: the first exception's traceback holds the tensors of the batch that failed.
    raise OutOfMemoryError(message.splitlines()[0], work)
