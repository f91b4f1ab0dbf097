"""Snakemake as a subprocess: started under the lock of the run, watched, and ended with all of its jobs."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from virnucpro_kernels.run.locks import note_holder

_TICK_SECONDS = 0.5
#: Time that jobs have to end after each signal before a stronger one is sent: SIGINT, SIGTERM, SIGKILL.
_GRACE_SECONDS = 15.0


def snakemake(*arguments: str | Path) -> list[str]:
    """Return the command line of Snakemake in this Python, with `arguments`."""
    return [sys.executable, "-m", "snakemake", *map(str, arguments)]


def watch(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    lock: int,
    tick: Callable[[], None],
) -> int:
    """Run `command` in a process session of its own; return its exit code.

    At KeyboardInterrupt, SIGTERM or SIGHUP all processes of the session are interrupted, and KeyboardInterrupt is
    raised when none is left.

    Args:
        command: Program and arguments.
        environment: Environment of the program.
        log: File that its output is appended to.
        lock: Descriptor of the lock of the run, which the program holds as well.
        tick: Function that is called twice a second.
    """
    with log.open("ab") as output, _heeding_interrupts():
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
            pass_fds=(lock,),
        )
    note_holder(lock, os.getpid(), process.pid)
    with _as_interrupt(signal.SIGTERM), _as_interrupt(signal.SIGHUP):
        try:
            while True:
                try:
                    code = process.wait(timeout=_TICK_SECONDS)
                except subprocess.TimeoutExpired:
                    tick()
                else:
                    tick()
                    return code
        except BaseException:
            _end(process)
            raise


@contextmanager
def _heeding_interrupts() -> Iterator[None]:
    """Restore the default reaction to SIGINT for children that are started in this block.

    A shell starts the background jobs of a script with SIGINT ignored, and a child inherits that. A signal with a
    handler, however, is reset to its default in the child.
    """
    earlier = signal.getsignal(signal.SIGINT)
    if earlier == signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, earlier)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Send SIGINT, then SIGTERM, then SIGKILL to the session of `process` until it has ended."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout=_GRACE_SECONDS)
            break
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            continue
    process.wait()


@contextmanager
def _as_interrupt(number: signal.Signals) -> Iterator[None]:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    earlier = signal.getsignal(number)
    if earlier != signal.SIG_IGN:  # as under nohup
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        signal.signal(number, earlier)
