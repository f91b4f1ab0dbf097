"""Checksums of files, remembered with size and times, so that an unchanged file is not read at every start."""

from pathlib import Path

from virnucpro_kernels.files import sha256
from virnucpro_kernels.pool.job_record import read_job, write_record


class Checksums:
    """SHA-256 of files. A remembered one counts as long as size and times of the file are the same.

    One of the times is that of the inode, which no program can choose.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Read the file that `save` wrote; a damaged or missing one only means that every file is read."""
        self._path = path
        self._known = read_job(path) if path else {}
        self._used: dict[str, list[int | str]] = {}

    def of(self, path: Path) -> str:
        """Return the checksum of a file."""
        state = path.stat()
        stamp = [state.st_size, state.st_mtime_ns, state.st_ctime_ns]
        known = self._used.get(str(path)) or self._known.get(str(path), [])
        checksum = str(known[3]) if known[:3] == stamp else sha256(path)
        self._used[str(path)] = [*stamp, checksum]
        return checksum

    def save(self) -> None:
        """Remember the checksums that were asked for."""
        if self._path and self._used and self._used != self._known:
            write_record(self._path, self._used)
