"""Progress of a download, with the time left: a bar on a terminal, a line now and then elsewhere."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from virnucpro_kernels.pool.job_record import LINE_EVERY_SECONDS, TimeLeft

_log = logging.getLogger(__name__)


@contextmanager
def meter(name: str, have: int, total: int | None) -> Iterator[Callable[[int], object]]:
    """Show a download and yield the function that takes the bytes of each block.

    Args:
        name: Name of the file.
        have: Bytes that are there already.
        total: Bytes of the whole file; None where the server does not say.
    """
    if not sys.stderr.isatty():
        yield Lines(name, have, total).advance
        return
    columns = (TextColumn("{task.description}"), BarColumn(24), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name, total=total, completed=have)
        yield lambda count: progress.advance(task, count)


class Lines:
    """Lines in the log, one every half minute; arguments as for `meter`, and the clock in seconds."""

    def __init__(self, name: str, have: int, total: int | None, now: Callable[[], float] = time.monotonic) -> None:
        self._name, self._had, self._have, self._total, self._now = name, have, have, total, now
        self._since = self._shown = now()
        self._left = TimeLeft(now)

    def advance(self, count: int) -> None:
        """Count a block, and write a line if it is time to."""
        self._have += count
        now = self._now()
        left = self._left.words(self._have, self._total) if self._total else ""
        if now - self._shown < LINE_EVERY_SECONDS:
            return
        self._shown = now
        if self._total is None:
            rate = megabytes((self._have - self._had) / (now - self._since))
            _log.info("%s: %s have arrived, %s a second", self._name, megabytes(self._have), rate)
        else:
            _log.info("%s: %s of %s, %s", self._name, megabytes(self._have), megabytes(self._total), left)


def megabytes(count: float) -> str:
    """Return a number of bytes in words."""
    return f"{count / 1e6:,.1f} MB"
