"""The commands themselves, each in a process of its own, as a run has them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from virnucpro_kernels.embed.stopping import StopRequest
from virnucpro_kernels.errors import StoppedError, VirnucproError

_POLL_SECONDS = 0.5
#: How long a command may take to end once it is told so; `predict` has its own jobs to end first.
_GRACE_SECONDS = 60.0


def run_command(*words: object) -> None:
    """Run `virnucpro WORDS…` to its end. A signal that ends this process ends the command first.

    :raises VirnucproError: it failed; says the last of what it said.
    :raises StoppedError: a signal came.
    """
    command = [sys.executable, "-m", "virnucpro_kernels", *map(str, words)]
    with (
        StopRequest() as stop,
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
        said = _wait(process, stop)
    if stop.stopped():
        error = StoppedError(f"stopped, and virnucpro {words[0]} with it; run the same command again")
        error.exit_code = 128 + stop.number
        raise error
    if process.returncode:
        raise VirnucproError(f"virnucpro {words[0]} ended with exit code {process.returncode}: {said[-2000:]}")


def _wait(process: subprocess.Popen[str], stop: StopRequest) -> str:
    """Wait for the end, or bring it about once there is a signal; return what was said on standard error."""
    while not stop.stopped():
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
