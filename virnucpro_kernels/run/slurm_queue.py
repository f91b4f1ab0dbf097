"""Jobs of a run that Slurm has accepted and lets wait, with its reasons. One may never start, and no file says why."""

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from virnucpro_kernels.pool.job_record import counted

#: Slurm is not asked more often, since its controller serves all users of a cluster.
_EVERY_SECONDS = 60.0
#: Time in which Slurm answers, if it answers at all.
_LIMIT_SECONDS = 10.0
#: The plugin gives all jobs of a start this name, and logs it before it submits the first: near the top of the log.
_NAME = "SLURM run ID: "
_TOP_BYTES = 100_000
#: What Slurm says of a job at which it has not looked yet.
_NO_REASON = {"None", "(null)"}


class SlurmQueue:
    """The jobs of the last start of a run that wait in Slurm's queue."""

    def __init__(self, directory: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._logs, self._now = directory / ".snakemake" / "log", now
        self._asked: float | None = None
        self._waiting: Mapping[str, int] = {}

    def waiting(self) -> Mapping[str, int]:
        """Return the number of waiting jobs by Slurm's reason, as it was within the last minute.

        It is empty where no job waits, where the run does not use Slurm, and where Slurm does not answer.
        """
        if self._asked is None or self._now() - self._asked >= _EVERY_SECONDS:
            self._asked = self._now()
            name = self._name()
            self._waiting = _ask(name) if name else {}
        return self._waiting

    def _name(self) -> str:
        """Return the name of the jobs of the last start; empty where it submitted none."""
        # Their names are dates.
        log = max(self._logs.glob("*.snakemake.log"), default=None)
        if log is None:
            return ""
        with log.open("rb") as file:
            top = file.read(_TOP_BYTES).decode(errors="replace")
        return top.partition(_NAME)[2].partition("\n")[0].strip()


def _ask(name: str) -> Mapping[str, int]:
    command = ["squeue", f"--name={name}", "--states=PENDING", "--array", "--noheader", "--format=%r"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LIMIT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):  # not a machine of the cluster, or its controller is down
        return {}
    reasons = (line.strip() for line in asked.stdout.splitlines())
    return dict(Counter(reason for reason in reasons if reason and reason not in _NO_REASON))


def describe_waiting(waiting: Mapping[str, int]) -> str:
    """Return in words that jobs wait, and Slurm's reasons, the most frequent first."""
    reasons = sorted(waiting.items(), key=lambda item: -item[1])
    words = "; ".join(f"{reason} ({number:,})" for reason, number in reasons)
    verb = "waits" if sum(waiting.values()) == 1 else "wait"
    return f"{counted(sum(waiting.values()), 'job')} {verb} in Slurm's queue: {words}"
