"""State of a run for somebody who looks at its folder: read from its files, from any machine that sees them.

Nothing is written, and no job is asked. A job tells how far it is by its record, which it renews every few seconds. Why
a job waits in the queue of a cluster is in no file: where Slurm can be asked, it says that.
"""

import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import is_alive
from virnucpro_kernels.pool.job_record import counted, duration, length_in_words, read_job
from virnucpro_kernels.run.config import complete_config, read_config
from virnucpro_kernels.run.folder import CONFIG
from virnucpro_kernels.run.jobs import list_jobs
from virnucpro_kernels.run.locks import who_works_in
from virnucpro_kernels.run.pools import POOLS
from virnucpro_kernels.run.progress import ProgressReader, State
from virnucpro_kernels.run.run import Run, load_run
from virnucpro_kernels.run.slurm_queue import SlurmQueue, describe_waiting

#: A running job renews its record every few seconds; one that has not for so long was killed.
SILENT_AFTER_SECONDS = 120.0


@dataclass(frozen=True)
class JobStatus:
    """A job that runs, or that failed and was not started again.

    Attributes:
        stage: Stage of the job.
        unit: Its pool and chunk, or its sample.
        host: Machine it runs on.
        seconds: Time that it has taken.
        fraction: Part of its work that is done, 0 to 1.
        tokens_per_second: Protein tokens it embeds a second; None for other stages and before its first batch.
        gpu_utilisation_percent: Mean use of its GPU so far; None without a GPU.
        silent_seconds: Time since it renewed its record.
        is_alive: Whether its process lives, as far as this machine knows: those of other machines count as living.
        error: Message of a failed job; empty for one that runs.
    """

    stage: str
    unit: str
    host: str
    seconds: float
    fraction: float
    tokens_per_second: float | None
    gpu_utilisation_percent: float | None
    silent_seconds: float
    is_alive: bool
    error: str


@dataclass(frozen=True)
class Status:
    """State of a run.

    Attributes:
        directory: Folder of the run.
        state: `complete`, `running`, or `stopped` where no job runs and no command is known to work in the folder.
        worker: Command that works in the folder, in words; empty where none is known.
        model, precision, device: Model of the run, and what its embedding jobs compute with; in a sweep, those of all
            settings.
        progress: What is done and what there is in all.
        running, failed: Jobs at work, and jobs whose last attempt failed.
        unusable: Reason why a sample was left out, by its name.
        waiting: Number of embedding jobs that are not yet done and do not run, as far as chunks are known.
        queue: Number of jobs of every stage that Slurm lets wait, by its reason.
        tokens_per_second: Protein tokens that all running jobs embed a second; None where none has a rate.
        seconds_left: Time until all is embedded at that rate; None where it is not known.
    """

    directory: str
    state: Literal["complete", "running", "stopped"]
    worker: str
    model: str
    precision: str
    device: str
    progress: State
    running: tuple[JobStatus, ...]
    failed: tuple[JobStatus, ...]
    unusable: dict[str, str]
    waiting: int
    queue: Mapping[str, int]
    tokens_per_second: float | None
    seconds_left: float | None


def read_status(directory: Path, queue: SlurmQueue | None = None) -> Status:
    """Return the state of the run in `directory`, with the jobs in `queue` if it is given.

    Raises:
        UsageError: it is not the folder of a run, or its configuration or sample sheet cannot be used.
        DamagedFileError: a table of the run, or its model, is damaged.
    """
    run = find_run(directory)
    progress = ProgressReader(run, directory).read()
    jobs = list(_unfinished_jobs(run, directory))
    running = tuple(job for job in jobs if not job.error and job.silent_seconds < SILENT_AFTER_SECONDS and job.is_alive)
    rates = [job.tokens_per_second for job in running if job.tokens_per_second]
    rate = sum(rates) if rates else None
    worker = who_works_in(directory)
    return Status(
        directory=str(directory),
        state="complete" if progress.complete and not running else "running" if worker or running else "stopped",
        worker=worker.partition(";")[0],
        model=", ".join(dict.fromkeys(one.model.name for one in run.settings)),
        precision=", ".join(dict.fromkeys(one.precision for one in run.settings)),
        device=run.device,
        progress=progress,
        running=running,
        failed=tuple(job for job in jobs if job.error),
        unusable={
            name: reason
            for one in run.settings
            for record in _splits(one, directory)
            for name, reason in record.items()
        },
        waiting=max(progress.chunks - progress.embedded - sum(job.stage == "embed" for job in running), 0),
        queue=queue.waiting() if queue else {},
        tokens_per_second=rate,
        seconds_left=(progress.tokens - progress.tokens_done) / rate if rate else None,
    )


def find_run(directory: Path) -> Run:
    """Return the run in `directory`, on whatever device its jobs compute.

    Errors are those of `read_status`.
    """
    path = directory / CONFIG
    if not path.exists():
        raise UsageError(f"{directory}: not the folder of a run; it has no {CONFIG}")
    config = read_config(path)
    complete_config(config, str(path))  # whose message names the file
    candidates = [
        load_run(config, sheet_folders=[directory], pools=directory / POOLS, on_cluster=on_cluster)
        for on_cluster in (False, True)
    ]
    # The machine that looks may have no GPU where those that compute have one: folders tell what they computed with.
    return max(candidates, key=lambda run: max(map(_last_change, _embedding_dirs(run, directory)), default=0.0))


def _embedding_dirs(run: Run, directory: Path) -> list[Path]:
    return [directory / one.embedding_dir(pool) for one in run.embeddings for pool in one.pools]


def _last_change(folder: Path) -> float:
    return folder.stat().st_mtime if folder.exists() else 0.0


def _unfinished_jobs(run: Run, directory: Path) -> Iterator[JobStatus]:
    """Yield the jobs that have a record and did not complete."""
    for job in list_jobs(run, directory):
        path = directory / job.record
        record = read_job(path)
        if record.get("state") not in ("running", "failed"):
            continue
        fraction = record["done"] / record["total"] if record.get("total") else 0.0
        is_rated = job.stage == "embed" and fraction > 0 and record["seconds"] > 0
        yield JobStatus(
            stage=job.stage,
            unit=job.unit,
            host=record["host"],
            seconds=record["seconds"],
            fraction=fraction,
            tokens_per_second=fraction * job.tokens / record["seconds"] if is_rated else None,
            gpu_utilisation_percent=record.get("gpu_utilisation_percent"),
            silent_seconds=max(time.time() - path.stat().st_mtime, 0.0),
            is_alive=record["host"] != socket.gethostname() or is_alive(record["pid"]),
            error=str(record.get("error", "")),
        )


def describe(status: Status, *, most: int = 20) -> Iterator[str]:
    """Yield the state of a run as lines; at most `most` jobs of a kind."""
    progress = status.progress
    yield f"{status.directory}: {status.state}, model {status.model}, {status.device}, {status.precision}"
    if status.worker:
        yield status.worker
    percent = 100 * progress.tokens_done / progress.tokens if progress.tokens else 100.0
    left = "" if status.seconds_left is None else f", about {duration(status.seconds_left)} left"
    yield f"embedded  {percent:.0f} % of {length_in_words(progress.bases)}{left}"
    if status.tokens_per_second is not None:
        yield f"speed     {status.tokens_per_second:,.0f} protein tokens/s"
    yield f"samples   {progress.samples_done:,} of {progress.samples:,} complete"
    unsplit = progress.pools - progress.pools_split
    more = f"; those of {counted(unsplit, 'pool')} are not known yet" if unsplit else ""
    yield f"chunks    {progress.chunks_done:,} of {progress.chunks:,} scored, {progress.embedded:,} embedded{more}"
    yield f"jobs      {len(status.running)} running, {status.waiting:,} to embed waiting, {len(status.failed):,} failed"
    if status.queue:
        yield f"queue     {describe_waiting(status.queue)}"
    yield from _lines(status.running, most)
    yield from _lines(status.failed, most)
    for name, reason in list(status.unusable.items())[:most]:
        yield f"  sample {name} is left out: {' '.join(reason.split())}"
    if len(status.unusable) > most:
        yield f"  and {len(status.unusable) - most:,} more samples"


def _splits(run: Run, directory: Path) -> Iterator[dict[str, str]]:
    """Yield the samples that each pool leaves out, with the reasons."""
    for pool in run.pools:
        yield read_job(directory / run.record_path("split", pool)).get("unusable", {})


def _lines(jobs: Sequence[JobStatus], most: int) -> Iterator[str]:
    for job in jobs[:most]:
        facts: list[Any] = [f"{100 * job.fraction:.0f} %", duration(job.seconds), f"on {job.host}"]
        if job.tokens_per_second is not None:
            facts.append(f"{job.tokens_per_second:,.0f} tokens/s")
        if job.gpu_utilisation_percent is not None:
            facts.append(f"GPU {job.gpu_utilisation_percent:.0f} %")
        yield f"  {job.stage} {job.unit}: {job.error or ', '.join(facts)}"
    if len(jobs) > most:
        yield f"  and {len(jobs) - most:,} more"
