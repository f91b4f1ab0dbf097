"""A signal that a program handles in its main thread, whatever that thread is doing."""

import signal
from threading import Thread
from types import FrameType


def heed_in_thread(number: signal.Signals) -> None:
    """Have the present handler of a signal run in a thread of its own.

    Snakemake's handler of SIGTERM takes a lock of its scheduler. A handler interrupts the main thread, which may hold
    that very lock at the moment, so that both would wait for each other for ever.
    """
    handler = signal.getsignal(number)

    def hand_over(number: int, _: FrameType | None) -> None:
        if callable(handler):
            Thread(target=handler, args=(number, None), daemon=True).start()

    if callable(handler):
        signal.signal(number, hand_over)
