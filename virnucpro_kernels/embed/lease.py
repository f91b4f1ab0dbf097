"""A lease on a GPU of this machine. Nothing here initialises CUDA.

A scheduler that gives a job its GPU narrows CUDA_VISIBLE_DEVICES. Snakemake on one machine does not: its jobs see all
GPUs. There each job takes a lease: locks on files named after the GPU, which the system releases when the process ends.

A GPU computes for one job at a time. A job first takes the place of the next one at a GPU, then the GPU itself. While
it computes, it gives the place to another job, if there is memory for that: this one then loads its encoders meanwhile,
and computes as soon as the first gives up the GPU, with its last vector or when it ends.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from virnucpro_kernels.embed.gpu import can_be_shared
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import try_lock

log = logging.getLogger(__name__)

#: Folder of the locks: in memory, on every Linux, the same for all users of a machine.
LEASES = Path("/dev/shm/virnucpro-gpus")
_POLL_SECONDS = 0.02


class Lease:
    """A process's lease on a GPU.

    Attributes:
        unit: UUID of the GPU, or of the instance of one.
    """

    def __init__(self, unit: str, directory: Path, place: int, turn: int | None) -> None:
        """`place` and `turn` are the descriptors of the locks of the next job and of the one that computes."""
        self.unit = unit
        self._directory = directory
        self._place: int | None = place
        self._turn = turn

    @property
    def has_turn(self) -> bool:
        """Whether the GPU computes for this process."""
        return self._turn is not None

    def wait_for_turn(self, look: Callable[[], object] = lambda: None) -> None:
        """Wait until the GPU computes for this process; `look` is called again and again, and may raise."""
        while self._turn is None:
            look()
            self._turn = _try_lock(self._directory, f"{self.unit}.lock")
            if self._turn is None:
                time.sleep(_POLL_SECONDS)

    def admit_next(self, needed: int) -> bool:
        """Give the place of the next job away, if the GPU has `needed` bytes for that; return whether it was given."""
        if self._place is None or not can_be_shared(self.unit, needed):
            return False
        os.close(self._place)
        self._place = None
        return True

    def release(self) -> None:
        """Give the GPU back."""
        for descriptor in (self._turn, self._place):
            if descriptor is not None:
                os.close(descriptor)
        self._turn = self._place = None


@contextmanager
def lease(units: Sequence[str], directory: Path = LEASES, *, may_share: bool = True) -> Iterator[Lease]:
    """Lease one of `units` for the block and make it the only GPU that this process sees; wait where all are taken.

    CUDA must not be initialised before, because it then sees all GPUs. Unless the lease has its turn already, another
    process computes on the GPU: this one may load its encoders, and then waits for its turn.

    Args:
        units: UUIDs of GPUs.
        directory: Folder of the locks.
        may_share: Whether to take the place of the next job at a GPU that computes. Such a job stays with this GPU,
            even if another one is free sooner.

    Raises:
        UsageError: there is no GPU, or no locks can be made.
    """
    if not units:
        raise UsageError("no NVIDIA GPU is visible here; see what nvidia-smi says, or run with --device cpu")
    held = _take_place(units, directory, may_share=may_share)
    try:
        os.environ["CUDA_VISIBLE_DEVICES"] = held.unit
        yield held
    finally:
        held.release()


def _take_place(units: Sequence[str], directory: Path, *, may_share: bool) -> Lease:
    """Return a lease on a free GPU, or else the place of the next job; wait while there is neither."""
    told = False
    while True:
        spare: Lease | None = None
        for unit in units:
            place = _try_lock(directory, f"{unit}.next.lock")
            if place is None:
                continue
            found = Lease(unit, directory, place, _try_lock(directory, f"{unit}.lock"))
            if found.has_turn:
                if spare:
                    spare.release()
                return found
            if may_share and spare is None:
                spare = found
            else:
                found.release()
        if spare:
            return spare
        if not told:
            log.info("waiting for a GPU: other jobs have all that are visible, %d (%s)", len(units), directory)
            told = True
        time.sleep(_POLL_SECONDS)


def _try_lock(directory: Path, name: str) -> int | None:
    try:
        return try_lock(directory / name, _open_for_all)
    except OSError as error:
        raise UsageError(
            f"{directory}: no locks can be made there ({error}), which have to keep the jobs of this machine apart;"
            " have this user allowed to write there"
        ) from error


def _open_for_all(path: Path) -> int:
    """Open a lock file that processes of all users share; make it, and its folder, where they are missing.

    It is opened for reading, which is all that is allowed where another user has made it, and enough for a lock on a
    local file system.
    """
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(0o1777)  # for all users, as /tmp
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    if path.exists():
        return os.open(path, flags)
    descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644)  # `try_lock` tries again if somebody was faster
    os.fchmod(descriptor, 0o644)  # whatever the umask
    return descriptor
