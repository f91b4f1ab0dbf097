"""Work spread over processes, its results in the order of the tasks: the standard library's executor, bounded."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Self, TypeVar

import numpy as np

from virnucpro_kernels.errors import VirnucproError

#: Tasks under way for each process: enough that no process waits for work, few enough for the memory they need.
_TASKS_PER_PROCESS = 3

#: Settings of the environment in which the processes start and of the tracker of their semaphores. numpy's linear
#: algebra must not start threads, which wait for work in a busy loop. Where this process is killed, the tracker removes
#: the semaphores; its warning about that would be the last line of the log, and hide the line that says more.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONWARNINGS": "ignore:resource_tracker",
}

Context = TypeVar("Context")
Task = TypeVar("Task")
Result = TypeVar("Result")


class Workers:
    """A pool of `processes` processes; with 1, this process does the work itself.

    A context manager. Functions, tasks, results and errors must be picklable, and functions not of the main module.
    """

    def __init__(self, processes: int) -> None:
        if processes < 1:
            raise ValueError(f"{processes} processes: at least 1 is needed")
        self._number = processes

    def __enter__(self) -> Self:
        _keep_freed_memory()
        if self._number > 1:
            self._start()
        return self

    def _start(self) -> None:
        earlier = dict(os.environ)
        os.environ.update(_ENVIRONMENT)
        try:
            # `spawn`: a copy by `fork` of a process with threads may hang.
            self._executor = ProcessPoolExecutor(
                self._number, multiprocessing.get_context("spawn"), initializer=_set_up_worker
            )
            # A terminal sends its interrupt to all processes, but only this one handles it: a process inherits the
            # signals that are blocked when it starts, and it starts when the first task for it is submitted.
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                for _ in range(self._number):
                    self._executor.submit(int)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        finally:
            os.environ.clear()
            os.environ.update(earlier)

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._number > 1:
            self._executor.shutdown(cancel_futures=True)

    def map(
        self, function: Callable[[Task], Result], tasks: Iterable[tuple[Context, Task]]
    ) -> Iterator[tuple[Context, Result]]:
        """Yield the context and `function(task)` of each of `tasks`, in their order.

        Tasks are taken as they are needed, so that memory holds a few of them for each process. A context stays in this
        process.

        Raises:
            VirnucproError: a worker process died.
        """
        if self._number == 1:
            yield from ((context, function(task)) for context, task in tasks)
            return
        pending: deque[tuple[Context, Future[Result]]] = deque()
        try:
            for context, task in tasks:
                pending.append((context, self._executor.submit(function, task)))
                if len(pending) >= _TASKS_PER_PROCESS * self._number:
                    context, future = pending.popleft()
                    yield context, future.result()
            while pending:
                context, future = pending.popleft()
                yield context, future.result()
        except BrokenProcessPool as error:
            raise VirnucproError(
                "a worker process was killed, perhaps for lack of memory: use fewer threads or more memory"
            ) from error


def _set_up_worker() -> None:
    _keep_freed_memory()
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """End this process when its parent ends, which may be killed: the executor's processes would wait for ever."""
    if parent := multiprocessing.parent_process():
        parent.join()
    os._exit(1)


def _keep_freed_memory() -> None:
    """Have the allocator of glibc keep freed memory for the next task; to ask the system again each time costs 12 %.

    The allocator returns large blocks to the system until a block of nearly 32 MB is freed: that raises its threshold
    (`man mallopt`, M_MMAP_THRESHOLD). Other allocators ignore it.
    """
    np.empty((1 << 25) - (1 << 16), np.uint8)
