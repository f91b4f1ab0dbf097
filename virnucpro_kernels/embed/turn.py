"""A job's turn on the device that it computes on: on a CPU at once, on a GPU when the job before it has ended.

Until then a job gets ready, and that does not count as its time: the clock of its record starts with its turn, and with
it the monitor of the GPU.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

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


class GpuTurn(Turn):
    """Context manager: the turn of a job on a GPU that it has leased."""

    def __init__(self, held: Lease, job: Job) -> None:
        self._held, self._job = held, job
        self._came_later = not held.has_turn
        self._monitor: GpuMonitor | None = None

    def __enter__(self) -> Self:
        if not self._came_later:
            self._start()
        return self

    def begin(self, stopped: Callable[[], bool]) -> bool:
        """Wait for the turn; see `Turn.begin`."""
        if self._monitor is not None:
            return self._came_later

        def look() -> None:
            if stopped():
                raise StoppedError("stopped while another job had the GPU; the same command goes on")

        log.info("waiting for GPU %s: another job computes", self._held.unit)
        self._held.wait_for_turn(look)
        self._start()
        return True

    def _start(self) -> None:
        self._job.restart_clock()
        monitor = GpuMonitor(self._held.unit)
        self._job.measure = monitor.summary
        self._monitor = monitor.__enter__()

    def loaded(self) -> None:
        """Let the next job load its encoders beside those of this one, if there is memory for as much again."""
        import torch

        self._held.admit_next(torch.cuda.max_memory_reserved() + _BESIDE_WEIGHTS)

    def __exit__(self, *_: object) -> None:
        if self._monitor is not None:
            self._monitor.__exit__()


@contextmanager
def gpu_turn(units: list[str], job: Job) -> Iterator[tuple[str, GpuTurn]]:
    """Lease one of the GPUs with these UUIDs for the block; yield the one it is, and the turn on it.

    Raises:
        UsageError: there is no GPU, or no locks can be made.
    """
    with lease(units) as held, GpuTurn(held, job) as turn:
        yield held.unit, turn
