"""Snakemake as a subprocess: started under the lock of the run, watched, and ended with all of its jobs."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from virnucpro_kernels.errors import UsageError, VirnucproError
from virnucpro_kernels.files import take_lock
from virnucpro_kernels.pool.file_names import WORK

_TICK_SECONDS = 0.5
#: Time that jobs have to end after each signal before a stronger one is sent: SIGINT, SIGTERM, SIGKILL.
_GRACE_SECONDS = 15.0


def lock_path(directory: Path) -> Path:
    """Return the file that a `predict` which works in `directory` has locked."""
    return directory / WORK / ".predict.lock"


@contextmanager
def run_lock(directory: Path) -> Iterator[int]:
    """Hold the lock of a run's folder; yield its descriptor, for a child to hold it as well.

    The lock lives as long as any process that has it: where this one is killed, Snakemake holds it until it ends.

    Raises:
        UsageError: the folder cannot be made.
        VirnucproError: another process has it, or the file system has no locks.
    """
    path = lock_path(directory)

    def refuse() -> None:
        raise VirnucproError(f"another `virnucpro predict` works in {directory} {_holder(path)}")

    try:
        _, descriptor = take_lock([path], if_taken=refuse)
    except OSError as error:
        raise UsageError(f"{directory}: cannot be created or locked ({error}); choose another folder") from error
    try:
        _note_holder(descriptor, os.getpid())
        yield descriptor
    finally:
        os.close(descriptor)


def _note_holder(lock: int, *processes: int) -> None:
    """Write into the lock's file who has it: this host, `predict`, and the Snakemake that it started."""
    os.ftruncate(lock, 0)
    os.pwrite(lock, " ".join([socket.gethostname(), *map(str, processes)]).encode(), 0)


def _holder(lock: Path) -> str:
    """Return who has a lock, as `_note_holder` wrote it, and what to do about it."""
    match lock.read_text(errors="replace").split():
        case [host, process, *_] if host != socket.gethostname():
            return f"(process {process} on {host}); wait for it or stop it"
        case [_, process, child] if not Path("/proc", process).exists():
            return (
                f"(process {process}, which is gone, but the Snakemake that it started, process {child}, is not); wait"
                f" for it, or stop it and its jobs: kill -s INT -- -{child}"
            )
        case [_, process, *_]:
            return f"(process {process}); wait for it or stop it"
    return "(process unknown); wait for it or stop it"


def snakemake(*arguments: str | Path) -> list[str]:
    """Return the command line of Snakemake in this Python, with `arguments`."""
    return [sys.executable, "-m", "snakemake", *map(str, arguments)]


def unlock(directory: Path, snakefile: Path, log: Path) -> None:
    """Remove the lock that a killed Snakemake left. The caller holds the run's lock, so no running one has it."""
    locks = directory / ".snakemake" / "locks"
    if locks.is_dir() and any(locks.iterdir()):
        with log.open("ab") as output:
            subprocess.run(
                snakemake("--unlock", "--snakefile", snakefile, "--directory", directory),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )


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
    _note_holder(lock, os.getpid(), process.pid)
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
