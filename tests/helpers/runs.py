"""Helpers of the workflow tests: bundled sequences, folders, commands."""

import gzip
import hashlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from tests.helpers.forked import run_snakemake
from virnucpro_kernels.cli import main

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / ".test" / "data" / "demo.fna.gz"
MODEL = "builtin-500"


def contigs(start: int = 0, stop: int | None = None, *, longest: int = 3000) -> str:
    """FASTA text of the bundled contigs of at most `longest` bases, those from `start` to `stop`."""
    with gzip.open(DEMO, "rt") as file:
        records = [record for record in file.read().split(">") if record]
    short = [record for record in records if len(record) < longest]
    return "".join(f">{record}" for record in short[start:stop])


def write_run(
    directory: Path, inputs: Mapping[str, str], config: str = "", pools: Mapping[str, str] | None = None
) -> None:
    """Write sequence files, sheet and configuration of a run, as a user of Snakemake would.

    The run makes no report, which takes seconds, unless `config` says so.
    """
    (directory / "config").mkdir(parents=True)
    (directory / "data").mkdir()
    pools = pools or {}
    rows = ["sample\tinput" + "\tpool" * bool(pools)]
    for name, text in inputs.items():
        (directory / "data" / f"{name}.fa").write_text(text)
        rows.append(f"{name}\t../data/{name}.fa" + f"\t{pools.get(name, '')}" * bool(pools))
    (directory / "config" / "samples.tsv").write_text("\n".join(rows) + "\n")
    config += "report: false\n" * ("report:" not in config)
    (directory / "config" / "config.yaml").write_text(f"samples: config/samples.tsv\nmodel: {MODEL}\n{config}")


def call(
    command: Sequence[str | Path], directory: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, its output as text."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=directory,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def snakemake(
    directory: Path, *options: str | Path, snakefile: Path = ROOT / "Snakefile"
) -> subprocess.CompletedProcess[str]:
    """Run Snakemake on two cores with a run's folder as the working directory."""
    return run_snakemake(["--cores", "2", "--snakefile", str(snakefile), *map(str, options)], directory)


def snakemake_command(snakefile: Path = ROOT / "Snakefile") -> list[str | Path]:
    """Return the command line of Snakemake for this workflow."""
    return [sys.executable, "-m", "snakemake", "--cores", "2", "--snakefile", snakefile]


def virnucpro(
    *arguments: str | Path, directory: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line of this package."""
    return call(virnucpro_command(*arguments), directory, **environment)


def virnucpro_here(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line of this package in this process, which takes a second less than one of its own."""
    words = [str(argument) for argument in arguments]
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with patch.object(sys, "argv", ["virnucpro", *words]), redirect_stdout(out), redirect_stderr(err):
        try:
            main.main()
        except SystemExit as ended:
            code = ended.code
    texts = (stream.buffer.getvalue().decode() for stream in (out, err))
    return subprocess.CompletedProcess(words, int(code or 0), *texts)


def virnucpro_command(*arguments: str | Path) -> list[str | Path]:
    """Return a command line of this package that imports nothing from the current folder."""
    return [sys.executable, "-P", "-m", "virnucpro_kernels", *arguments]


def heed_signals() -> None:
    """Have a child heed these signals, as its `preexec_fn`.

    Whoever starts the tests in the background of a shell, or by nohup, has them and their children ignore them.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def planned(directory: Path, *options: str | Path, snakefile: Path = ROOT / "Snakefile") -> dict[str, int]:
    """Return the number of jobs of each rule in a dry run, without the default targets."""
    ended = snakemake(directory, "--dry-run", "--quiet", "rules", *options, snakefile=snakefile)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    jobs = {}
    text = ended.stdout + ended.stderr
    for line in text.partition("Job stats:")[2].partition("total")[0].splitlines():
        match line.split():
            case [rule, count] if count.isdigit() and rule not in {"default", "all"}:
                jobs[rule] = int(count)
    return jobs


def checksums(
    directory: Path, *, without: Sequence[str] = ("run.json", "collect.json", "report.html")
) -> dict[str, str]:
    """Return the SHA-256 of every result file by its path, without the files that hold dates."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((directory / "results").rglob("*"))
        if path.is_file() and path.name not in without
    }
