"""Work shared out over processes, its results in order; this process works along with the others."""

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

#: Tasks that wait for each other process: enough that it never runs dry, few enough for their memory.
_QUEUED_PER_PROCESS = 3

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
    """`processes` processes in all, this one among them: with 1, everything happens here.

    A context manager. Functions and tasks must be picklable.
    """

    def __init__(self, processes: int) -> None:
        if processes < 1:
            raise ValueError(f"{processes} processes: at least 1 is needed")
        self._others = processes - 1
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        if self._others:
            # Not forked: a fork takes along threads' locks and this process's memory.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._others, context, initializer=_begin)
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
        limit = 2 * _QUEUED_PER_PROCESS * (self._others + 1)
        try:
            for context, task in tasks:
                if sum(not future.done() for _, future in pending) < _QUEUED_PER_PROCESS * self._others:
                    future = self._pool.submit(function, task)
                else:
                    future = Future()
                    future.set_result(function(task))
                pending.append((context, future))
                while pending and (pending[0][1].done() or len(pending) >= limit):
                    context, future = pending.popleft()
                    yield context, future.result()
            while pending:
                context, future = pending.popleft()
                yield context, future.result()
        except BrokenProcessPool as error:
            raise VirnucproError(
                "a worker process was killed, perhaps for lack of memory: use fewer threads or more memory"
            ) from error
