"""Whole files only: atomic writing and checksums."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from virnucpro_kernels.errors import VirnucproError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the directory of `path`; rename it to `path` when the block ends without an error.

    A file that exists under its final name is therefore complete. The temporary file is removed on failure.
    The suffixes of `path` are kept, because some writers choose a format or compression by them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(*paths: Path) -> None:
    """Remove what killed processes left unfinished of the files or folders `paths`, under their temporary names.

    Where such a process lives on after all, it fails instead of publishing. Call it where nobody else has a right to
    work at `paths`.
    """
    for folder in {path.parent for path in paths}:
        for leftover in folder.glob(".*"):
            process, _, name = leftover.name[1:].partition(".")
            if process.isdigit() and folder / name in paths:
                if leftover.is_dir():
                    shutil.rmtree(leftover)
                else:
                    leftover.unlink(missing_ok=True)


def try_lock(descriptor: int, path: Path) -> bool:
    """Lock an open file for this process alone. Closing `descriptor` lets it go.

    False where another process has it, or where `path` is not this file any more: whoever had it has removed it.

    Raises:
        VirnucproError: the file system of `path` has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise VirnucproError(
            f"{path}: cannot be locked ({error.strerror}), but a lock has to keep others away; choose a folder on"
            " another file system, or have this one mounted with locks (Lustre: option flock)"
        ) from error
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, as `sha256sum` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
