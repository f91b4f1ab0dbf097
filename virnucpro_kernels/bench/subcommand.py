"""The commands themselves, each in a process of its own, as a run has them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from virnucpro_kernels.errors import StoppedError, VirnucproError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLL_SECONDS = 0.5
#: How long a command may take to end once it is told so; `predict` has its own jobs to end first.
_GRACE_SECONDS = 60.0


def run_command(*words: object) -> None:
    """Run `virnucpro WORDS…` to its end. A signal that ends this process ends the command first.

    :raises VirnucproError: it failed; says the last of what it said.
    :raises KeyboardInterrupt: SIGINT came.
    :raises StoppedError: SIGTERM or SIGHUP came.
    """
    command = [sys.executable, "-m", "virnucpro_kernels", *map(str, words)]
    with (
        _noted() as signals,
        # In a session of its own it is told by us alone, and once: a second signal would have it end at once.
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        said = _wait(process, signals)
    if signal.SIGINT in signals:
        raise KeyboardInterrupt
    if signals:
        raise StoppedError(
            f"stopped by {signals[0].name}, and virnucpro {words[0]} with it; run the same command again"
        )
    if process.returncode:
        raise VirnucproError(f"virnucpro {words[0]} ended with exit code {process.returncode}: {said[-2000:]}")


def _wait(process: subprocess.Popen[str], signals: list[signal.Signals]) -> str:
    """Wait for the end, or bring it about once there are `signals`; return what was said on standard error."""
    while not signals:
        try:
            return process.communicate(timeout=_POLL_SECONDS)[1]
        except subprocess.TimeoutExpired:
            continue
    process.terminate()
    try:
        return process.communicate(timeout=_GRACE_SECONDS)[1]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[1]


@contextmanager
def _noted() -> Iterator[list[signal.Signals]]:
    """Yield a list to which signals are only added, so that none comes between a process and what waits for it."""
    found: list[signal.Signals] = []
    earlier = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in earlier.items():
        if handler != signal.SIG_IGN:  # as under nohup
            signal.signal(number, lambda number, _: found.append(signal.Signals(number)))
    try:
        yield found
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
