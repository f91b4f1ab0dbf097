"""The state of a run on the terminal: once, as JSON, or renewed until the run ends."""

import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from virnucpro_kernels.run.slurm_queue import SlurmQueue
from virnucpro_kernels.run.status import describe, read_status

_EVERY_SECONDS = 2.0


def print_status(directory: Path, say: Callable[[str], object], *, as_json: bool) -> None:
    """Print the state of the run in `directory`; errors are those of `read_status`."""
    status = read_status(directory, SlurmQueue(directory))
    if as_json:
        say(json.dumps(asdict(status), indent=1))
        return
    for line in describe(status):
        say(line)


def watch_status(directory: Path, say: Callable[[str], object]) -> None:
    """Show the state of the run in `directory` until nothing runs any more; errors are those of `read_status`.

    A terminal shows the present state; elsewhere, every new state is printed after the one before.
    """
    from rich.live import Live
    from rich.text import Text

    queue = SlurmQueue(directory)
    status = read_status(directory, queue)
    text = "\n".join(describe(status))
    with ExitStack() as exits:
        live = exits.enter_context(Live(Text(text), auto_refresh=False)) if sys.stdout.isatty() else None
        if live is None:
            say(text)
        while status.state == "running":
            time.sleep(_EVERY_SECONDS)
            status, before = read_status(directory, queue), text
            text = "\n".join(describe(status))
            if live is not None:
                live.update(Text(text), refresh=True)
            elif text != before:
                say(text)
