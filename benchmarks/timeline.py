"""When what happened in a run of the workflow, from the records of its jobs."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from virnucpro_kernels.pool.file_names import RESULTS, WORK


@dataclass(frozen=True)
class EmbedJob:
    """An embedding job; times are seconds since the start of the command.

    Attributes:
        chunk: Name of the chunk.
        gpu: UUID of the GPU; `cpu` without one.
        tokens: Protein tokens.
        start, first_batch, end: Start of the job's record, its first finished batch, and its last vector, with which it
            gives up its GPU.
        complete: End of the job, its files complete.
        process_seconds: Time of the whole process, as Snakemake measured it.
        cpu_seconds: CPU time of the process.
        read_seconds: Time of reading and checking the chunk.
        load_seconds: Time of loading both encoders.
    """

    chunk: str
    gpu: str
    tokens: int
    start: float
    first_batch: float
    end: float
    complete: float
    process_seconds: float
    cpu_seconds: float
    read_seconds: float
    load_seconds: float


@dataclass(frozen=True)
class Timeline:
    """A run; times are seconds since the start of the command.

    Attributes:
        seconds: Time of the whole command.
        split_start, split_seconds: Start and time of `split`.
        ends: Ends of the last job of each stage.
        worked: Seconds of all jobs of each stage, without the starts of their processes.
        jobs: Embedding jobs, by their start.
    """

    seconds: float
    split_start: float
    split_seconds: float
    ends: dict[str, float]
    worked: dict[str, float]
    jobs: list[EmbedJob]

    @property
    def embed_start(self) -> float:
        """Start of the first embedding job."""
        return min(job.start for job in self.jobs)

    @property
    def embed_end(self) -> float:
        """End of the last embedding job, its files complete."""
        return max(job.complete for job in self.jobs)

    @property
    def embed_seconds(self) -> float:
        """Time from the start of the first embedding job to the end of the last."""
        return self.embed_end - self.embed_start

    @property
    def tokens(self) -> int:
        """Protein tokens of all chunks."""
        return sum(job.tokens for job in self.jobs)

    def by_gpu(self) -> dict[str, list[EmbedJob]]:
        """Return the jobs of each GPU, by their start."""
        return {gpu: [job for job in self.jobs if job.gpu == gpu] for gpu in sorted({job.gpu for job in self.jobs})}


def read_timeline(output: Path, began: float, seconds: float) -> Timeline:
    """Return the timeline of a complete run.

    Args:
        output: Folder of the run.
        began: Time of the start of the command, seconds since 1970.
        seconds: Time of the whole command.
    """
    records = list(_records(output, began))
    (split,) = (record for record in records if record["stage"] == "split")
    ends: dict[str, float] = defaultdict(float)
    worked: dict[str, float] = defaultdict(float)
    for record in records:
        ends[record["stage"]] = max(ends[record["stage"]], record["start"] + record["seconds"])
        worked[record["stage"]] += record["seconds"]
    costs = {path.stem: _costs(path) for path in output.glob("logs/benchmarks/embed/**/*.tsv")}
    jobs = [_embed_job(record, began, costs[record["unit"]]) for record in records if record["stage"] == "embed"]
    jobs.sort(key=lambda job: job.start)
    return Timeline(seconds, split["start"], split["seconds"], dict(ends), dict(worked), jobs)


def timeline_of(values: dict[str, Any]) -> Timeline:
    """Return the timeline that `dataclasses.asdict` took apart."""
    return Timeline(**{**values, "jobs": [EmbedJob(**job) for job in values["jobs"]]})


def _records(output: Path, began: float) -> Iterator[dict[str, Any]]:
    """Yield the records of all jobs, each with its unit and its start in seconds since the command's."""
    for folder in (WORK, RESULTS):
        for path in sorted((output / folder).glob("**/*.json")):
            record = json.loads(path.read_text())
            if "stage" in record:
                unit = path.name.split(".")[0]
                yield {**record, "unit": unit, "start": _seconds(record["started"], began)}


def _embed_job(record: dict[str, Any], began: float, costs: dict[str, str]) -> EmbedJob:
    return EmbedJob(
        chunk=record["unit"],
        gpu=record.get("gpu_uuid", "cpu"),
        tokens=record["protein"]["tokens"],
        start=record["start"],
        first_batch=_seconds(record["first_batch"], began),
        end=_seconds(record["device_until"], began),
        complete=record["start"] + record["seconds"],
        process_seconds=float(costs["s"]),
        cpu_seconds=float(costs["cpu_time"]),
        read_seconds=record["read_seconds"],
        load_seconds=sum(record["load_seconds"].values()),
    )


def _seconds(written: str, began: float) -> float:
    return datetime.fromisoformat(written).timestamp() - began


def _costs(path: Path) -> dict[str, str]:
    """Return what Snakemake measured of a job."""
    with path.open() as file:
        return list(csv.DictReader(file, delimiter="\t"))[-1]
