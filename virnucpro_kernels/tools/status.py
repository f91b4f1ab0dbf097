"""The state of a run on the terminal: once, as JSON, or renewed until the run ends."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from virnucpro_kernels.run.status import describe, read_status

_EVERY_SECONDS = 2.0


def print_status(directory: Path, say: Callable[[str], object], *, as_json: bool) -> None:
    """Print the state of the run in `directory`; errors are those of `read_status`."""
    status = read_status(directory)
    if as_json:
        say(json.dumps(asdict(status), indent=1))
        return
    for line in describe(status):
        say(line)


def watch_status(directory: Path) -> None:
    """Show the state of the run in `directory` until nothing runs any more; errors are those of `read_status`."""
    from rich.live import Live
    from rich.text import Text

    status = read_status(directory)
    with Live(Text("\n".join(describe(status))), auto_refresh=False) as live:
        while status.state == "running":
            time.sleep(_EVERY_SECONDS)
            status = read_status(directory)
            live.update(Text("\n".join(describe(status))), refresh=True)
