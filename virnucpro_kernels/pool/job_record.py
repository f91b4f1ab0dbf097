"""The record that every stage keeps beside its output: state, attempts, progress, times, counts.

One small JSON file a job, `{unit}.{stage}.json`. The workflow declares none of them: they are for people, for
`run.json`, for `failed.tsv` and for the progress display, and deleting them loses nothing that a run needs.
"""

import json
import os
import socket
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from virnucpro_kernels.errors import VirnucproError
from virnucpro_kernels.files import atomic_path, remove_leftovers


@dataclass
class Job:
    """Context manager around the work of one stage; keeps `path` up to date.

    Attributes:
        path: the JSON file.
        stage: `split`, `embed`, `merge`, `classify` or `collect`.
        facts: whatever the stage wants on record (counts, device, rates); written with the next update.

    The file holds `stage`, `state` (`running`, `complete` or `failed`), `attempts`, `pid`, `host`, `started` (UTC, ISO
    8601), `seconds`, `done` and `total` (progress, in the stage's own unit), and on failure `exit_code` and `error`.
    A record left at `running` by a process that is gone is a job that was killed.
    """

    path: Path
    stage: str
    facts: dict[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Self:
        earlier = read_job(self.path)
        self._attempts = 1 + int(earlier.get("attempts", 0))
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._clock = time.monotonic()
        self._done = self._total = 0
        self._written = 0.0
        self._write("running")
        return self

    def progress(self, done: int, total: int, *, every_seconds: float = 2.0) -> None:
        """Note that `done` of `total` units are finished; written to the file at most every `every_seconds`."""
        self._done, self._total = done, total
        if time.monotonic() - self._written >= every_seconds:
            self._write("running")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._write("complete")
            remove_leftovers(self.path)  # only now: an attempt that waits for another one must not disturb its record
        else:
            code = error.exit_code if isinstance(error, VirnucproError) else 1
            self._write("failed", exit_code=code, error=f"{type(error).__name__}: {error}")

    def _write(self, state: str, **more: Any) -> None:
        self._written = time.monotonic()
        record = {
            "stage": self.stage,
            "state": state,
            "attempts": self._attempts,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "started": self._started_at,
            "seconds": round(self._written - self._clock, 3),
            "done": self._done,
            "total": self._total,
            **self.facts,
            **more,
        }
        with atomic_path(self.path) as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n")


def read_job(path: Path) -> dict[str, Any]:
    """Return the record at `path`, or an empty dict where there is none that is readable (it is for people)."""
    try:
        record = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return record if isinstance(record, dict) else {}


def duration(seconds: float) -> str:
    """Seconds in words: `8 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"
