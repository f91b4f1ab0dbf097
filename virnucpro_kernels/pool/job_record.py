"""The record that every stage keeps beside its output: state, attempts, progress, times, counts.

A job's record is one small JSON file, `{unit}.{stage}.json`. The workflow declares none of them: people, `run.json`,
`failed.tsv` and the progress display read them, and a run needs none of them to go on. Every record ends with a
checksum of itself, so that a damaged one is taken for a missing one; and it holds those of the files that the job
wrote.
"""

import errno
import hashlib
import json
import logging
import os
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from virnucpro_kernels.errors import REMEDY, DamagedFileError, VirnucproError
from virnucpro_kernels.files import atomic_path, remove_leftovers, sha256
from virnucpro_kernels.pool.file_names import RUN_RECORD

log = logging.getLogger(__name__)

_RECORD_EVERY_SECONDS = 2.0
#: Entry of a record that holds the checksum of all others.
_CHECKSUM = "checksum"

#: Interval of the lines that say how far a job or a run is.
LINE_EVERY_SECONDS = 30.0


class TimeLeft:
    """Estimate of the time left, from the rate since the first progress: what comes before it, such as loading weights,
    says nothing about what is left.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._begin: tuple[float, float] | None = None
        self._moves = False

    def seconds(self, done: float, total: float) -> float | None:
        """Return the seconds until all is done at the mean rate so far; None until there is a rate, 0 at the end."""
        if done >= total:
            return 0.0
        if self._begin is None or not self._moves:
            self._moves = self._begin is not None and done > self._begin[1]
            self._begin = self._now(), done
            return None
        since, at_first = self._begin
        gained = done - at_first
        return (total - done) * (self._now() - since) / gained if gained > 0 else None

    def words(self, done: float, total: float) -> str:
        """Return the time left in words; rough as long as it follows from less than a twentieth of the whole."""
        seconds = self.seconds(done, total)
        if seconds is None or self._begin is None:
            return "time left unknown yet"
        return f"{'roughly' if 20 * (done - self._begin[1]) < total else 'about'} {duration(seconds)} left"


@dataclass
class Job:
    """Context manager around the work of one stage, which keeps `path` up to date and reports progress.

    Attributes:
        path: JSON file of the record.
        stage: Name of the stage: `split`, `embed`, `merge`, `classify` or `collect`.
        facts: Entries that the stage adds to the record (counts, device, rates); written with the next update.
        measure: Function whose entries join `facts` at each update, such as those of a GPU at work.

    The file holds `stage`, `state` (`running`, `complete` or `failed`), `attempts`, `pid`, `host`, `started` (UTC, ISO
    8601), `seconds`, `done` and `total` (progress, in the stage's own unit), `outputs` (SHA-256 of files that the job
    wrote), and on failure `exit_code` and `error`.
    A record left at `running` by a process that is gone belongs to a job that was killed.
    """

    path: Path
    stage: str
    facts: dict[str, Any] = field(default_factory=dict)
    measure: Callable[[], Mapping[str, Any]] = dict

    def __enter__(self) -> Self:
        earlier = read_job(self.path)
        self._attempts = 1 + int(earlier.get("attempts", 0))
        self._started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._started = self._line_written = time.monotonic()
        self._time_left = TimeLeft()
        self._done = self._total = 0
        self._write("running")
        return self

    def restart_clock(self) -> None:
        """Count the time of the job from now on: until now it waited."""
        waited = self.facts.get("waited_seconds", 0.0) + time.monotonic() - self._started
        self.facts["waited_seconds"] = round(waited, 3)
        self._started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._started = self._line_written = time.monotonic()
        self._write("running")

    def progress(self, done: int, total: int) -> None:
        """Note that `done` of `total` units are finished: in the record, and now and then as a line of the log."""
        self._done, self._total = done, total
        now, left = time.monotonic(), self._time_left.words(done, total)
        if now - self._written >= _RECORD_EVERY_SECONDS:
            self._write("running")
        if done < total and now - self._line_written >= LINE_EVERY_SECONDS:
            self._line_written = now
            log.info("%s: %.0f %%, %s", self.stage, 100 * done / total, left)

    def wrote(self, *paths: Path) -> None:
        """Note the checksums of files that the job has written, for `check_output`."""
        self.facts["outputs"] = {path.name: sha256(path) for path in paths}

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._write("complete")
            remove_leftovers(self.path)  # only now: an attempt that waits for another one must not disturb its record
            return
        told = self._full_disk(error)
        shown = told or error
        code = shown.exit_code if isinstance(shown, VirnucproError) else 1
        try:
            self._write("failed", exit_code=code, error=f"{type(shown).__name__}: {shown}")
        finally:
            if told:
                raise told from error

    def _full_disk(self, error: BaseException) -> VirnucproError | None:
        """Return an error that says which disk is full, if that is why `error` came; libraries name no file."""
        if os.strerror(errno.ENOSPC) not in str(error) or getattr(error, "filename", None):
            return None
        return VirnucproError(
            f"no space is left on the disk of {self.path.parent.absolute()} or on that of temporary files,"
            f" {tempfile.gettempdir()}: free some, then start again"
        )

    def _write(self, state: str, **more: Any) -> None:
        self._written = time.monotonic()
        self.facts |= self.measure()
        record = {
            "stage": self.stage,
            "state": state,
            "attempts": self._attempts,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "started": self._started_at,
            "seconds": round(self._written - self._started, 3),
            "done": self._done,
            "total": self._total,
            **self.facts,
            **more,
        }
        # While the job runs, nothing waits for the disk: after a power failure, the record would be out of date anyway.
        write_record(self.path, record, sync=state != "running")


def write_record(path: Path, record: dict[str, Any], *, sync: bool = True) -> None:
    """Write a record as JSON, with its checksum as the last entry; `sync` as in `files.atomic_path`."""
    with atomic_path(path, sync=sync) as temporary:
        temporary.write_text(_text(record | {_CHECKSUM: _checksum(record)}), encoding="utf-8")


def read_record(path: Path) -> dict[str, Any]:
    """Return the record at `path` without its checksum. One of an older version has none, and is taken as it is.

    Raises:
        DamagedFileError: it is not what `write_record` wrote.
        FileNotFoundError: there is none.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DamagedFileError(f"{path}: damaged ({error}); {REMEDY}") from error
    if not isinstance(record, dict) or record.pop(_CHECKSUM, "") not in ("", _checksum(record)):
        raise DamagedFileError(f"{path}: damaged (its checksum is wrong); {REMEDY}")
    return record


def read_job(path: Path) -> dict[str, Any]:
    """Return the record at `path`, or an empty dict where there is none that is whole: nothing depends on it."""
    try:
        return read_record(path)
    except (FileNotFoundError, DamagedFileError):
        return {}


def recorded_checksum(path: Path, record: Path) -> str:
    """Return the SHA-256 that `path` had when the job with that record wrote it; empty where the record is gone."""
    return str(read_job(record).get("outputs", {}).get(path.name, ""))


def check_output(path: Path, record: Path, *, remedy: str = REMEDY) -> None:
    """Refuse a file that is not what the job with that record wrote, before anything in it is believed.

    Args:
        path: File.
        record: Record of the job.
        remedy: Advice to the user, for the message.

    Raises:
        DamagedFileError: its checksum is another one.
        FileNotFoundError: there is no such file.
    """
    _check(path, recorded_checksum(path, record), remedy)


def checked_result(path: Path) -> Path:
    """Return the path of a file of a sample's results that is what `run.json` beside it says; a missing one as it is.

    Raises:
        DamagedFileError: its checksum is another one.
    """
    if path.exists():
        listed = read_job(path.with_name(RUN_RECORD)).get("files", {})
        _check(path, listed.get(path.name, {}).get("sha256", ""), REMEDY)
    return path


def _check(path: Path, expected: str, remedy: str) -> None:
    """Compare a file with a checksum, unless that is empty."""
    if expected and sha256(path) != expected:
        raise DamagedFileError(f"{path}: damaged (its content is not what was written); {remedy}")


def _text(record: dict[str, Any]) -> str:
    return json.dumps(record, indent=1) + "\n"


def _checksum(record: dict[str, Any]) -> str:
    return hashlib.sha256(_text(record).encode()).hexdigest()[:16]


def duration(seconds: float) -> str:
    """Return `seconds` in words: `8 s`, `12 min`, `3 h 20 min`, `14 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes < 600 else f"{round(minutes / 60)} h"


def length_in_words(bases: int) -> str:
    """Return a number of bases with its unit: `3 kbp`, `13.2 Mbp`, `1,300 Mbp`."""
    if bases < 100_000:
        return f"{bases / 1e3:.0f} kbp"
    return f"{bases / 1e6:.1f} Mbp" if bases < 100_000_000 else f"{bases / 1e6:,.0f} Mbp"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun in singular or plural: `1 sample`, `2,000 samples`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"
