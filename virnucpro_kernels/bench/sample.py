"""A whole sample, FASTA to tables, by `virnucpro predict` with one GPU, two, …: what more of them gain."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from virnucpro_kernels.bench.inputs import random_model, random_reads
from virnucpro_kernels.bench.subcommand import run_command
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.pool.file_names import SPLIT_RECORD

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SampleRate:
    """One run from nothing to the tables.

    Attributes:
        encoder: the protein encoder; DNABERT-S comes with it.
        gpus: in use, 0 for a CPU.
        reads: of 150 nt.
        seconds: of the whole command.
        split_seconds: of `split`.
        embed_seconds: from the start of the first embedding job (known to the second) to the end of the last, loading
            of the models included.
        chunks, frames, protein_tokens: of the sample.
        tokens_per_second: protein tokens over `embed_seconds`.
        utilisation_percent: of the GPUs while a job had one, mean over the jobs; None where nobody counts.
        joules: that the GPUs took for it; None where nobody counts.
    """

    encoder: str
    precision: str
    gpus: int
    reads: int
    seconds: float
    split_seconds: float
    embed_seconds: float
    chunks: int
    frames: int
    protein_tokens: int
    tokens_per_second: float
    utilisation_percent: float | None
    joules: float | None


def measure_samples(
    encoder: str, precision: str, reads: int, gpus: Sequence[int], device: torch.device, folder: Path
) -> Iterator[SampleRate]:
    """Write a model of random weights and random reads into `folder`, run the workflow, and yield how fast.

    :param encoder: an ESM-2 of `encoders.CONFIGS`; DNABERT-S of the true shape comes with it.
    :param gpus: how many, a run for each; 0 for a CPU.
    :param folder: has room for the model (ESM-2 3B: 6 GB), reads and results; model and reads that are there are used
        again.
    :raises UsageError: there is not one frame in so few reads.
    """
    model, sample = random_model(folder, encoder, device), random_reads(folder, reads)
    for count in gpus:
        output = folder / f"sample-{reads}-{encoder}-{precision}-{count}"
        shutil.rmtree(output, ignore_errors=True)
        log.info("%s %s: %d reads, FASTA to tables, GPUs: %d", encoder, precision, reads, count)
        started = time.perf_counter()
        run_command(
            *("predict", sample, "--output-dir", output, "--model", model, "--precision", precision),
            *("--device", device.type, "--no-progress", *(("--gpus", count) if count else ())),
        )
        seconds = time.perf_counter() - started
        rate = _rate(encoder, precision, count, reads, seconds, output)
        log.info("%.1f s, %.1f of them embedding", seconds, rate.embed_seconds)
        yield rate


def _rate(encoder: str, precision: str, gpus: int, reads: int, seconds: float, output: Path) -> SampleRate:
    (split,) = (json.loads(path.read_text()) for path in output.glob(f"work/*/*/{SPLIT_RECORD}"))
    jobs = [json.loads(path.read_text()) for path in output.glob("work/*/*/*/*.embed.json")]
    if not jobs:
        raise UsageError(f"--sample {reads}: there is no frame in these random reads; take more")
    starts = [datetime.fromisoformat(job["started"]).timestamp() for job in jobs]
    embed_seconds = max(start + job["seconds"] for start, job in zip(starts, jobs, strict=True)) - min(starts)
    tokens = sum(job["protein"]["tokens"] for job in jobs)
    utilisation, joules = (_known(jobs, fact) for fact in ("gpu_utilisation_percent", "gpu_energy_joules"))
    return SampleRate(
        encoder=encoder,
        precision=precision,
        gpus=gpus,
        reads=reads,
        seconds=seconds,
        split_seconds=split["seconds"],
        embed_seconds=embed_seconds,
        chunks=len(jobs),
        frames=sum(job["rows"] for job in jobs),
        protein_tokens=tokens,
        tokens_per_second=tokens / embed_seconds,
        utilisation_percent=fmean(utilisation) if utilisation else None,
        joules=sum(joules) if joules else None,
    )


def _known(jobs: Sequence[dict[str, Any]], fact: str) -> list[float]:
    """A fact of each job; empty where one does not have it (a CPU, a part of a GPU)."""
    return [job[fact] for job in jobs] if all(fact in job for job in jobs) else []
