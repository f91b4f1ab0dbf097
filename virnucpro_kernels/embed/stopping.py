"""Requests to stop: a signal is noted, and the work ends at the next point where nothing is lost."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopRequest:
    """Context manager for the main thread: within the block SIGTERM, SIGINT and SIGHUP are only noted.

    A second signal acts as usual. A SIGHUP that was ignored before the block stays ignored.

    Attributes:
        number: Number of the signal that came; 0 as long as none has.
    """

    def __init__(self) -> None:
        self.number = 0

    def __enter__(self) -> Self:
        self._before = {
            number: signal.signal(number, self._note)
            for number in _SIGNALS
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN  # as under nohup
        }
        return self

    def _note(self, number: int, _: FrameType | None) -> None:
        self.number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __exit__(self, *_: object) -> None:
        self._restore()

    def stopped(self) -> bool:
        """Whether a signal has come."""
        return self.number != 0


@contextmanager
def unbroken() -> Iterator[None]:
    """Have the signals that come within the block act at its end, for blocks that import modules.

    An interrupt inside an import may be swallowed there and leave Python's global lock of imports held: the next thread
    that imports anything, as the one that loads the weights does, then waits for ever.
    """
    with StopRequest() as stop:
        yield
    if stop.stopped():
        signal.raise_signal(stop.number)
