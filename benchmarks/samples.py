"""A whole sample, FASTA to tables, by `virnucpro predict` with one GPU, two, …: what more GPUs gain.

    python -m benchmarks.samples --folder FOLDER --reads 1000000 [--gpus 2 --gpus 1] [--encoder esm2-3b]

`--folder` has room for the model (ESM-2 3B: 6 GB), reads and results.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import torch
import typer

from benchmarks import command
from benchmarks.inputs import random_model, random_reads, run_command
from benchmarks.results import SampleRate
from virnucpro_kernels.cli.bench import Device, Encoders, Json, Precisions
from virnucpro_kernels.cli.main import run_app
from virnucpro_kernels.embed.gpu import count_gpus, list_gpus, visible_units
from virnucpro_kernels.errors import UsageError

log = logging.getLogger("virnucpro_kernels.benchmarks")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def measure_samples(
    encoder: str, precision: str, reads: int, gpus: Sequence[int], device: torch.device, folder: Path
) -> Iterator[SampleRate]:
    """Write a model of random weights and random reads into `folder`, run the workflow, and yield how fast.

    Args:
        encoder: An ESM-2 of `encoders.CONFIGS`; DNABERT-S of the true shape comes with it.
        precision: Precision of both encoders.
        reads: Number of reads.
        gpus: Number of GPUs of each run; 0 for a CPU.
        device: Device that computes.
        folder: Folder for model, reads and results; model and reads that are there are used again.

    Raises:
        UsageError: there is no frame in so few reads.
    """
    model, sample = random_model(folder, encoder, device), random_reads(folder, reads)
    units = visible_units(list_gpus(), os.environ.get("CUDA_VISIBLE_DEVICES")) if any(gpus) else []
    for count in gpus:
        output = folder / f"sample-{reads}-{encoder}-{precision}-{count}"
        log.info("%s %s: %d reads, FASTA to tables, GPUs: %d", encoder, precision, reads, count)
        _, seconds = run_sample(sample, output, model, precision, device, units[:count])
        rate = _rate(encoder, precision, count, reads, seconds, output)
        log.info("%.1f s, %.1f of them embedding", seconds, rate.embed_seconds)
        yield rate


def run_sample(
    sample: Path, output: Path, model: Path, precision: str, device: torch.device, units: Sequence[str], chunks: int = 1
) -> tuple[float, float]:
    """Run the workflow on a sample from the start; return when it began, seconds since 1970, and how long it took.

    Args:
        sample: FASTA file.
        output: Folder of the run; what is there is removed first.
        model: Directory of the model.
        precision: Precision of both encoders.
        device: Device that computes.
        units: UUIDs of the GPUs; none for a CPU.
        chunks: Least number of chunks.
    """
    shutil.rmtree(output, ignore_errors=True)
    began, started = time.time(), time.perf_counter()
    run_command(
        *("predict", sample, "--output-dir", output, "--model", model, "--precision", precision),
        *("--set", f"min_chunks={chunks}", "--device", device.type, "--no-progress", "--no-report"),
        # A list, which all get two jobs each; the comma makes one of a single UUID too.
        *(("--gpus", ",".join(units) + ",") if units else ()),
    )
    return began, time.perf_counter() - started


def _rate(encoder: str, precision: str, gpus: int, reads: int, seconds: float, output: Path) -> SampleRate:
    (split,) = (json.loads(path.read_text()) for path in output.glob("work/*/*/split.json"))
    jobs = [json.loads(path.read_text()) for path in output.glob("work/*/*/*/*.embed.json")]
    if not jobs:
        raise UsageError(f"--reads {reads}: there is no frame in these random reads; take more")
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
    """Return a fact of each job; nothing where one job lacks it (on a CPU, or on a part of a GPU)."""
    return [job[fact] for job in jobs] if all(fact in job for job in jobs) else []


def find_gpus(wanted: Sequence[int] | None, device: torch.device) -> list[int]:
    """Return the number of GPUs of each run: one by default, 0 on a CPU."""
    if device.type != "cuda":
        if wanted:
            raise UsageError(f"--gpus {wanted[0]}: leave it out on a CPU")
        return [0]
    there = count_gpus()
    for number in wanted or ():
        if number > there:
            raise UsageError(f"--gpus {number}: {there} GPUs are visible; choose from 1 to {there}")
    return list(dict.fromkeys(wanted or [1]))


@app.command()
def main(
    reads: Annotated[int, typer.Option(min=1, help="Number of reads of 150 nt, as in 1000000.")],
    folder: command.Folder,
    gpus: Annotated[
        list[int] | None, typer.Option(min=1, help="Number of GPUs; may be given several times. Default: 1.")
    ] = None,
    encoder: Encoders = None,
    precision: Precisions = "",
    device: Device = "auto",
    json: Json = None,
    markdown: command.Markdown = None,
    compare: command.Compare = None,
) -> None:
    """Run the workflow on random reads."""
    run = command.Run.start(device, json, markdown, compare)
    encoders, precisions = run.choose(encoder, precision, folder)
    counts = find_gpus(gpus, run.device)
    for name, kind in itertools.product(encoders, precisions):
        for rate in measure_samples(name, kind, reads, counts, run.device, folder):
            run.results.samples.append(rate)
            run.save()
    run.finish()


if __name__ == "__main__":
    run_app(app)
