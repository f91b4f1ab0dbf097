"""Runs on a cluster: inputs, a site's copy of the profile, embedding jobs as they are at work, and their Slurm jobs."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.helpers.runs import ROOT, contigs, heed_signals, virnucpro_command
from tests.slurm.cluster import Cluster
from virnucpro_kernels.pool.job_record import read_job

#: Seconds after which a test gives up waiting for something, on a machine that may be busy.
LIMIT = 600
#: Files that differ between two runs of the same work: they hold dates, logs and attempts.
UNCOMPARED = ("run.json", "collect.json", "failed.tsv")
GOOD = {"one": (0, 60), "two": (60, None)}
#: The model is small enough for a CPU; precision and batches are set, so that they are those of every run.
CONFIG = {"model": "builtin-500", "min_chunks": 4, "precision": "fp32"}
TOKEN_BUDGET = 64


def write_inputs(directory: Path) -> list[Path]:
    """Write two samples and one that cannot be used; all three share a pool."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, (start, stop) in GOOD.items():
        (directory / f"{name}.fa").write_text(contigs(start, stop, longest=100_000))
    (directory / "bad.fa").write_text(">protein\nMKLVEFQPIMKLVEFQPI\n")
    return [directory / f"{name}.fa" for name in (*GOOD, "bad")]


def write_profile(directory: Path, **keys: Any) -> Path:
    """Write a site's copy of the profile: what a user would change, and quick questions for the state of jobs.

    Jobs ask for a GPU, as they do by default, and compute on the CPU, since the GPUs are fake.
    """
    profile = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text())
    profile |= {"slurm-init-seconds-before-status-checks": 1, "latency-wait": 10} | keys
    lines = {"device": "'cpu'", "token_budget": TOKEN_BUDGET, "gpu_model": "'fake'", "constraint": "'large'"}
    profile["set-resources"] = {"embed": lines}
    profile["set-threads"] = dict.fromkeys(("split", "embed", "classify"), 1)
    directory.mkdir()
    (directory / "config.yaml").write_text(yaml.safe_dump(profile))
    return directory


def predict_command(out: Path, *arguments: str | Path) -> list[str | Path]:
    """Return a command of `virnucpro predict` with the settings of all runs."""
    settings = [word for key, value in CONFIG.items() for word in ("--set", f"{key}={value}")]
    return virnucpro_command("predict", *arguments, "--output-dir", out, "--no-progress", "--no-report", *settings)


@contextmanager
def running(command: list[str | Path], cluster: Cluster, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command on a cluster within the block, its output in `directory/output.txt`; at the end nothing is left."""
    with (directory / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=directory,
            env={**os.environ, **cluster.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=heed_signals,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass(frozen=True)
class EmbedJob:
    """An embedding job at work.

    Attributes:
        chunk: Name of its chunk.
        slurm_id: Number of its job in Slurm.
        gpus: GPUs that it sees, as CUDA_VISIBLE_DEVICES names them.
        process: Process that embeds.
    """

    chunk: str
    slurm_id: str
    gpus: str
    process: psutil.Process


def embed_jobs(out: Path) -> list[EmbedJob]:
    """Return the embedding jobs of the run in `out` that are at work now."""
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
            if {"virnucpro_kernels", "embed", "--chunk"} <= set(command) and process.cwd() == str(out):
                variables = process.environ()
                chunk = command[command.index("--chunk") + 1]
                gpus = variables.get("CUDA_VISIBLE_DEVICES", "")
                found.append(EmbedJob(chunk, variables.get("SLURM_JOB_ID", ""), gpus, process))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def park(job: EmbedJob, out: Path, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Have a suspended job work until one of its two encoders is done, and suspend it there; call `meanwhile` often.

    It goes on at SIGCONT, which Slurm sends before every SIGTERM.
    """
    job.process.nice(19)
    job.process.resume()
    while not list(out.glob(f"work/*/*/*/{job.chunk}.partial/nucleotide-*.h5")):
        assert is_alive(job), f"chunk {job.chunk} ended before it could be disturbed"
        meanwhile()
        time.sleep(0.005)
    job.process.suspend()
    assert is_alive(job), f"chunk {job.chunk} ended before it could be disturbed"


def is_alive(job: EmbedJob) -> bool:
    """Whether the process of a job is there, suspended or not."""
    try:
        return bool(job.process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_for_embed_job(out: Path, run: subprocess.Popen[bytes], *, other_than: str = "") -> EmbedJob:
    """Wait until a job works at a chunk, but for the chunk `other_than`; suspend it at once."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end and run.poll() is None:
        for job in embed_jobs(out):
            if job.chunk != other_than:
                job.process.suspend()
                return job
        time.sleep(0.1)
    raise AssertionError(f"no embedding job was seen; {(out / 'output.txt').read_text()}")


def embed_record(out: Path, chunk: str) -> dict[str, Any]:
    """Return the record of a chunk's embedding job."""
    (path,) = out.glob(f"work/*/*/*/{chunk}.embed.json")
    return read_job(path)


def resumed(record: dict[str, Any]) -> int:
    """Return how many sequences of its chunk an embedding job found done by an earlier attempt."""
    return int(record["nucleotide"]["resumed"]) + int(record["protein"]["resumed"])
