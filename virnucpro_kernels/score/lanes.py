"""Several files of a sample written at the same time: a lane each, in which the pieces of a file keep their order."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import ParamSpec, Self

Arguments = ParamSpec("Arguments")


class Lanes:
    """Context manager that runs calls in threads: those of one lane one after the other, lanes beside each other.

    Threads are enough, because compressing, hashing and the operations of Arrow run without the interpreter's lock.

    Args:
        threads: Number of threads, this one included; with 1, it makes every call itself, at once.
    """

    #: Calls that wait in each thread before `run` waits too: they hold the data that they are to write.
    _MOST_WAITING = 2

    def __init__(self, threads: int) -> None:
        if threads < 1:
            raise ValueError(f"{threads} threads: at least 1 is needed")
        self._threads = [ThreadPoolExecutor(1, thread_name_prefix="lane") for _ in range(threads - 1)]
        self._waiting: list[deque[Future[object]]] = [deque() for _ in self._threads]

    def __enter__(self) -> Self:
        return self

    def run(
        self, lane: int, function: Callable[Arguments, object], *args: Arguments.args, **options: Arguments.kwargs
    ) -> None:
        """Call `function` after all earlier calls of the lane. An error of an earlier call may be raised here."""
        if not self._threads:
            function(*args, **options)
            return
        number = lane % len(self._threads)
        waiting = self._waiting[number]
        waiting.append(self._threads[number].submit(function, *args, **options))
        while len(waiting) > self._MOST_WAITING:
            waiting.popleft().result()

    def wait(self) -> None:
        """Wait for all calls.

        Raises:
            BaseException: what a call has raised.
        """
        for waiting in self._waiting:
            while waiting:
                waiting.popleft().result()

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for thread in self._threads:
            thread.shutdown(cancel_futures=error is not None)
        if error is None:
            self.wait()
