"""The commands themselves, each in a process of its own, as a run has them."""

from __future__ import annotations

import subprocess
import sys

from virnucpro_kernels.errors import VirnucproError


def run_command(*words: object) -> None:
    """Run `virnucpro WORDS…` to its end.

    :raises VirnucproError: it failed; says the last of what it said.
    """
    command = [sys.executable, "-m", "virnucpro_kernels", *map(str, words)]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise VirnucproError(f"virnucpro {words[0]} ended with exit code {ended.returncode}: {ended.stderr[-2000:]}")
