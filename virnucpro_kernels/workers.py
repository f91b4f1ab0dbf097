"""Work shared out over processes, its results in order."""

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

from virnucpro_kernels.errors import VirnucproError

#: Tasks that are under way for each process: enough that none runs dry, few enough for their memory.
_TASKS_PER_PROCESS = 3

Context = TypeVar("Context")
Task = TypeVar("Task")
Result = TypeVar("Result")


def _begin() -> None:
    """Let an interrupt end the parent only, which then ends this process; and end when the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


class Workers:
    """`processes` processes that work while this one hands out and takes in; with 1, it does everything itself.

    A context manager. Functions, tasks and results must be picklable.
    """

    def __init__(self, processes: int) -> None:
        if processes < 1:
            raise ValueError(f"{processes} processes: at least 1 is needed")
        self._processes = processes
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        if self._processes > 1:
            # Not forked: a fork takes along threads' locks and this process's memory.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._processes, context, initializer=_begin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def map(
        self, function: Callable[[Task], Result], tasks: Iterable[tuple[Context, Task]]
    ) -> Iterator[tuple[Context, Result]]:
        """Yield the context and `function(task)` of each of `tasks`, in their order.

        Tasks are taken as they are needed, so that memory holds a few of them a process at a time. A context stays in
        this process.

        Raises:
            VirnucproError: a process died.
        """
        if self._pool is None:
            yield from ((context, function(task)) for context, task in tasks)
            return
        pending: deque[tuple[Context, Future[Result]]] = deque()
        try:
            for context, task in tasks:
                pending.append((context, self._pool.submit(function, task)))
                if len(pending) >= _TASKS_PER_PROCESS * self._processes:
                    context, future = pending.popleft()
                    yield context, future.result()
            for context, future in pending:
                yield context, future.result()
        except BrokenProcessPool as error:
            raise VirnucproError(
                "a worker process was killed, perhaps for lack of memory: use fewer threads or more memory"
            ) from error
