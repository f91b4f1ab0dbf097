"""Whole files only: atomic writing, locks and checksums; and the files that come with the package."""

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from virnucpro_kernels.errors import VirnucproError

#: Folder of this package, and of the data in it.
PACKAGE = Path(__file__).resolve().parent
DATA = PACKAGE / "data"

_POLL_SECONDS = 0.2
#: Attempts to make and open a lock file while other processes remove its folder.
_ATTEMPTS_TO_OPEN = 100


@contextmanager
def atomic_path(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the directory of `path`; rename it to `path` when the block ends without an error.

    A file that exists under its final name is therefore complete. The temporary file is removed on failure, and an
    error of the operating system names `path`. The suffixes of `path` are kept, because some writers choose a format
    or compression by them. Without `sync`, this waits for no disk, and the file may be damaged after a power failure.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        try:
            yield temporary
            if sync:
                with temporary.open("rb") as written:
                    os.fsync(written.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if str(error.filename) == str(temporary):
            error.filename, error.filename2 = str(path), None
        raise


def check_writable(folder: Path) -> None:
    """Make a folder, unless it is there, and make sure that a file in it can be written.

    Raises:
        OSError: it cannot: the rights are missing, or the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(4096))


def remove_leftovers(*paths: Path) -> None:
    """Remove the temporary files and folders that killed processes left of `paths`.

    A process that lives on after all then fails instead of publishing its file. The caller makes sure that no other
    process may work at `paths`.
    """
    for folder in {path.parent for path in paths}:
        for leftover in folder.glob(".*"):
            process, _, name = leftover.name[1:].partition(".")
            if process.isdigit() and folder / name in paths:
                if leftover.is_dir():
                    shutil.rmtree(leftover)
                else:
                    leftover.unlink(missing_ok=True)


def expand_user(path: str) -> Path:
    """Return `path` with a home directory for a leading `~` or `~user`; as it is where there is no such user."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 that of pathlib raises an error then


def open_lock(path: Path) -> int:
    """Open a lock file for writing, which locks on NFS need; make it, and its folder, where they are missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def take_lock(path: Path, *, if_taken: Callable[[], object]) -> int:
    """Lock a file for this process alone; wait while another process has it.

    Args:
        path: Lock file.
        if_taken: Function called once where another process has it. Unless it raises, waiting begins.

    Returns:
        The descriptor of the locked file. Closing it lets the lock go, as does the end of the process.

    Raises:
        OSError: the lock file can be neither made nor opened.
        VirnucproError: the file system has no locks.
    """
    told = False
    while (descriptor := try_lock(path)) is None:
        if not told:
            if_taken()
            told = True
        time.sleep(_POLL_SECONDS)
    return descriptor


def try_lock(path: Path, open_file: Callable[[Path], int] = open_lock) -> int | None:
    """Lock a file for this process alone, or return None where another process has it; see `take_lock`.

    Args:
        path: Lock file.
        open_file: Function that opens a lock file, and makes it where it is missing.
    """
    descriptor = _open_anyway(path, open_file)
    locked = False
    try:
        locked = _try_lock(descriptor, path)
    finally:
        if not locked:
            os.close(descriptor)
    return descriptor if locked else None


def is_alive(process: int | str) -> bool:
    """Whether a process of this machine lives: one that has ended, and that nobody has waited for, does not."""
    try:
        state = Path("/proc", str(process), "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return False
    return state not in "ZX"


def is_locked(path: Path) -> bool:
    """Whether a process has locked a file with `take_lock`, as far as this user may know."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS):
            return False
        raise
    try:
        return not _try_lock(descriptor, path)
    finally:
        os.close(descriptor)


def _open_anyway(path: Path, open_file: Callable[[Path], int]) -> int:
    """Open a lock file although a process that has finished may remove it, or its folder, at any moment."""
    for _ in range(_ATTEMPTS_TO_OPEN - 1):
        try:
            return open_file(path)
        except (FileExistsError, FileNotFoundError):
            continue
    return open_file(path)


def _try_lock(descriptor: int, path: Path) -> bool:
    """Lock an open file, unless another process has it or has removed `path` meanwhile."""
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
    """Return the hexadecimal SHA-256 of a file, as `sha256sum` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_data(name: str) -> dict[str, Any]:
    """Return the content of a TOML file among the data of the package."""
    return tomllib.loads((DATA / name).read_text(encoding="utf-8"))
