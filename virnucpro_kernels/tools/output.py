"""Where a command writes: a whole file, compressed if its name says so, or standard output."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import atomic_path
from virnucpro_kernels.score.tables import deterministic_gzip


@contextmanager
def open_output(path: Path | None) -> Iterator[IO[bytes]]:
    """Open `path` for writing, or standard output for none or `-`; who reads that may stop at any time.

    A device or a pipe is written to as it is: a new file would take its place. Where the reader of standard output
    stops, as `head` does, the block ends there, and what follows it goes on.

    Raises:
        UsageError: standard output is closed.
    """
    if path in (None, Path("-")):
        if sys.stdout is None:
            raise UsageError("standard output is closed: name a file with --output")
        try:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            # Else what is left in the stream would fail once more when the process ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    if path.is_char_device() or path.is_fifo():
        with path.open("wb") as file:
            yield file
        return
    with ExitStack() as exits:
        temporary = exits.enter_context(atomic_path(path))
        yield exits.enter_context(deterministic_gzip(temporary) if path.suffix == ".gz" else temporary.open("wb"))
