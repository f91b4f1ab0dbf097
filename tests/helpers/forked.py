"""Snakemake in a process that is forked from one which has imported it: half of the time of a dry run is its import."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
# Nothing of this package, of which each run imports what its own Snakefile finds.
_FORKS.set_forkserver_preload(["snakemake.cli", "snakemake.api", "snakemake.workflow"])


def run_snakemake(arguments: Sequence[str], directory: Path) -> subprocess.CompletedProcess[str]:
    """Run Snakemake with a folder as the working directory to its end, its output as text."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = _FORKS.Process(target=_snakemake, args=(arguments, directory, out, err, dict(os.environ)))
        process.start()
        process.join()
        return subprocess.CompletedProcess(arguments, process.exitcode or 0, out.read_text(), err.read_text())


def _snakemake(arguments: Sequence[str], directory: Path, out: Path, err: Path, variables: Mapping[str, str]) -> None:
    """Be `python -m snakemake`."""
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(directory)
    sys.path.insert(0, str(directory))
    from snakemake.cli import main

    main(list(arguments))
