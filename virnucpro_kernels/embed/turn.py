"""A job's turn on the device that it computes on: on a CPU at once, on a GPU when the job before has its last vector.

Until then a job gets ready, and that does not count as its time: the clock of its record starts with its turn, and with
it the monitor of the GPU, whose energy and memory are those of all processes on it, so of the next job's loading too.
The turn ends with the last vector, before the job's files are complete.
"""

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Self

from virnucpro_kernels.embed.gpu import can_be_shared, name_of
from virnucpro_kernels.embed.gpu_monitor import GpuMonitor
from virnucpro_kernels.embed.lease import Lease, lease
from virnucpro_kernels.errors import StoppedError
from virnucpro_kernels.pool.job_record import Job

log = logging.getLogger(__name__)

#: Memory that a job needs on a GPU beside its weights: activations of both encoders, and CUDA's own, with a reserve.
_BESIDE_WEIGHTS = 4 << 30


class Turn:
    """The turn of a job on a CPU, which it never waits for."""

    def begin(self, stopped: Callable[[], bool]) -> bool:
        """Wait for the turn, unless it has come; return whether another job had the device when this one came to it.

        Raises:
            StoppedError: `stopped` returned true.
        """
        del stopped
        return False

    def loaded(self) -> None:
        """Note that all encoders are on the device."""

    def end(self) -> None:
        """Give the device to the next job: this one only completes its files."""


class GpuTurn(Turn):
    """Context manager: the turn of a job on a GPU that it has leased."""

    def __init__(self, held: Lease, job: Job) -> None:
        self._held, self._job = held, job
        self._came_later = not held.has_turn
        self._has_begun = self._has_loaded = self._has_ended = False
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        self._job.restart_clock()
        if not self._came_later:
            self._start()
        return self

    def begin(self, stopped: Callable[[], bool]) -> bool:
        """Wait for the turn; see `Turn.begin`."""

        def look() -> None:
            if stopped():
                raise StoppedError("stopped while another job had the GPU; the same command goes on")

        if not self._has_begun:
            log.info("waiting for GPU %s: another job computes", self._held.unit)
            self._held.wait_for_turn(look)
            self._job.restart_clock()
            self._start()
            if self._has_loaded:
                self._admit_next()
        return self._came_later

    def _start(self) -> None:
        self._has_begun = True
        monitor = GpuMonitor(self._held.unit)
        self._job.measure = monitor.summary
        self._exits.enter_context(monitor)

    def loaded(self) -> None:
        """Let the next job load its encoders beside those of this one once it computes, if there is memory for that."""
        self._has_loaded = True
        if self._has_begun:
            self._admit_next()

    def _admit_next(self) -> None:
        import torch

        self._held.admit_next(torch.cuda.max_memory_reserved() + _BESIDE_WEIGHTS)

    def end(self) -> None:
        """Give the GPU to the next job, with the memory that this one has used; see `Turn.end`."""
        import torch

        gc.collect()
        torch.cuda.empty_cache()
        self._leave()

    def _leave(self) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        self._held.release()
        self._exits.close()
        self._job.facts["device"] = self._job.measure().get("gpu") or name_of(self._held.unit)

    def __exit__(self, *_: object) -> None:
        self._leave()  # without asking CUDA for anything: after an error it may answer nothing but errors


@contextmanager
def gpu_turn(units: list[str], job: Job, weights: int, *, may_share: bool) -> Iterator[tuple[str, GpuTurn]]:
    """Lease one of the GPUs with these UUIDs for the block; yield the one it is, and the turn on it.

    Args:
        units: UUIDs.
        job: Job that will compute.
        weights: Bytes of its encoders. Where they do not fit beside another job's, this waits for the turn at once.
        may_share: Whether the job may get ready at a GPU that computes for another one.

    Raises:
        UsageError: there is no GPU, or no locks can be made.
    """
    with lease(units, may_share=may_share) as held:
        if not held.has_turn and not can_be_shared(held.unit, weights + _BESIDE_WEIGHTS):
            held.wait_for_turn()
        with GpuTurn(held, job) as turn:
            yield held.unit, turn
