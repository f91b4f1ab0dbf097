"""The locks of a run's folder: that of `virnucpro` (predict, train or calibrate), and that of a `snakemake` at work."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from virnucpro_kernels.errors import UsageError, VirnucproError
from virnucpro_kernels.files import is_alive, is_locked, take_lock
from virnucpro_kernels.pool.file_names import WORK

#: Commands that work in the folder of a run, and the file there that each locks.
_LOCKS = {"virnucpro": WORK / ".predict.lock", "snakemake": WORK / ".snakemake.lock"}


def lock_path(directory: Path) -> Path:
    """Return the file that a `virnucpro` which works in `directory` has locked."""
    return directory / _LOCKS["virnucpro"]


@contextmanager
def run_lock(directory: Path) -> Iterator[int]:
    """Hold the lock of a run's folder; yield its descriptor, for a child to hold it as well.

    The lock lives as long as any process that has it: where this one is killed, Snakemake holds it until it ends.

    Raises:
        UsageError: the folder cannot be made.
        VirnucproError: another process has it, or the file system has no locks.
    """
    try:
        descriptor = _take(directory, "virnucpro")
    except OSError as error:
        advice = (
            "a start has to write there, with --dry-run as well; `virnucpro status` and `virnucpro verify` only read"
            if directory.is_dir()
            else "choose another folder"
        )
        raise UsageError(f"{directory}: cannot be created or locked ({error}); {advice}") from error
    try:
        note_holder(descriptor, os.getpid())
        yield descriptor
    finally:
        os.close(descriptor)


def hold_for_snakemake(directory: Path) -> None:
    """Lock the folder of a run for as long as this process lives, which is a Snakemake at work.

    Raises:
        VirnucproError: another Snakemake works in the folder, or the file system has no locks.
    """
    note_holder(_take(directory, "snakemake"), os.getpid())


def refuse_snakemake(directory: Path) -> None:
    """Make sure that no Snakemake works in the folder of a run.

    Raises:
        VirnucproError: a Snakemake works in the folder, or the file system has no locks.
    """
    os.close(_take(directory, "snakemake"))


def who_works_in(directory: Path) -> str:
    """Return which process works in the folder of a run, in words; empty where none does."""
    for command, name in _LOCKS.items():
        if is_locked(directory / name):
            return f"a `{command}` works in {directory} {_holder(directory / name)}"
    return ""


def _take(directory: Path, command: str) -> int:
    path = directory / _LOCKS[command]

    def refuse() -> None:
        raise VirnucproError(f"another `{command}` works in {directory} {_holder(path)}")

    return take_lock(path, if_taken=refuse)


def note_holder(lock: int, *processes: int) -> None:
    """Write into the lock's file who has it: this host, `virnucpro`, and the Snakemake that it started."""
    os.ftruncate(lock, 0)
    os.pwrite(lock, " ".join([socket.gethostname(), *map(str, processes)]).encode(), 0)


def _holder(lock: Path) -> str:
    """Return who has a lock, as `note_holder` wrote it, and what to do about it."""
    match lock.read_text(errors="replace").split():
        case [host, process, *_] if host != socket.gethostname():
            return f"(process {process} on {host}); wait for it or stop it"
        case [_, process, child] if not is_alive(process):
            return (
                f"(process {process}, which is gone, but the Snakemake that it started, process {child}, is not); wait"
                f" for it, or stop it and its jobs: kill -s INT -- -{child}"
            )
        case [_, process, *_]:
            return f"(process {process}); wait for it or stop it"
    return "(process unknown); wait for it or stop it"
