"""One sample on 1, 2, 4 and 8 GPUs of a host in turn, FASTA to tables: what more GPUs gain, and what limits it.

    python -m benchmarks.scaling --out OUT --folder FOLDER --reads 2000000 [--run 4:1 --run 1:1] [--minutes 9]

A run is named GPUS:NUMBER. Each leaves a JSON in OUT, and a run that has one is not run again, so that the same
command with the same OUT goes on; the tables are made of all that are there. Before each run with an odd number the
model leaves the page cache, so that the jobs read it from disk.

`--folder` has room for the model (ESM-2 3B: 6 GB), input and results.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks import command
from benchmarks.inputs import check_folder, random_contigs, random_model, random_reads
from benchmarks.samples import run_sample
from benchmarks.scaling_table import to_markdown
from benchmarks.timeline import read_timeline, timeline_of
from benchmarks.watch import Watch
from virnucpro_kernels.bench.options import find_device, find_encoders, find_precisions
from virnucpro_kernels.bench.results import describe_machine
from virnucpro_kernels.cli.bench import Device
from virnucpro_kernels.cli.main import run_app
from virnucpro_kernels.embed.gpu import list_gpus, visible_units
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import atomic_path

log = logging.getLogger("virnucpro_kernels.benchmarks")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

#: Input of the first run, which compiles the kernels and Python's modules and is not measured. A smaller one would have
#: fewer canaries than a chunk of a measured run, and these need kernels of their own.
_FIRST_READS, _FIRST_BASES = 40_000, 5_000_000
_GPUS = (8, 4, 2, 1)
#: A run is expected to take so many times what the measured ones say.
_CAUTION = 1.1


@dataclass(frozen=True)
class Subject:
    """What is run.

    Attributes:
        reads, bases: Number of reads of 150 nt, or of bases of contigs; the other is 0.
        chunks: Least number of chunks.
        encoder: Protein encoder; DNABERT-S comes with it.
        precision: Precision of both encoders.
    """

    reads: int
    bases: int
    chunks: int
    encoder: str
    precision: str

    def name(self) -> str:
        """Return a name for files."""
        size = f"{self.reads}-reads" if self.reads else f"{self.bases}-bp"
        return f"{size}-{self.chunks}-{self.encoder}-{self.precision}"

    def write(self, folder: Path) -> Path:
        """Write the input into `folder`, unless it is there; return the file."""
        return random_reads(folder, self.reads) if self.reads else random_contigs(folder, self.bases)


@dataclass(frozen=True)
class Bench:
    """Where runs are measured.

    Attributes:
        subject: What is run.
        device: Device that computes.
        units: UUIDs of the GPUs; none on a CPU.
        folder: Folder of model, input and results of the workflow.
        out: Folder of the measurements.
    """

    subject: Subject
    device: torch.device
    units: tuple[str, ...]
    folder: Path
    out: Path

    def file(self, gpus: int, number: int) -> Path:
        """Return the JSON of a run."""
        return self.out / f"{self.subject.name()}-{gpus}-{number}.json"

    def done(self) -> list[dict[str, Any]]:
        """Return all runs of the subject that are measured."""
        return [json.loads(path.read_text()) for path in sorted(self.out.glob(f"{self.subject.name()}-*-*.json"))]


def measure(bench: Bench, runs: Sequence[tuple[int, int]], seconds: float) -> list[tuple[int, int]]:
    """Measure those of `runs` that are not done; return those for which `seconds` were too short."""
    began = time.monotonic()
    left = [run for run in runs if not bench.file(*run).exists()]
    if not left:
        return []
    subject, device = bench.subject, bench.device
    model, sample = random_model(bench.folder, subject.encoder, device), subject.write(bench.folder)
    _run_first(bench, model)
    too_long = []
    for gpus, number in left:
        expected = _expect(bench.done(), gpus)
        if time.monotonic() - began + expected > seconds:
            too_long.append((gpus, number))
            continue
        log.info("run %d:%d of %s; about %.0f s", gpus, number, subject.name(), expected)
        run = measure_run(bench, model, sample, gpus, number)
        with atomic_path(bench.file(gpus, number)) as temporary:
            temporary.write_text(json.dumps(run, indent=1) + "\n")
        log.info("%.1f s", run["timeline"]["seconds"])
    return too_long


def _run_first(bench: Bench, model: Path) -> None:
    """Run a small input, unless that was done in this folder, so that no measured run has to compile anything."""
    subject, output = bench.subject, bench.folder / f"first-{_FIRST_READS}"
    if not any(output.glob("results/*/run.json")):
        small = replace(subject, reads=min(subject.reads, _FIRST_READS), bases=min(subject.bases, _FIRST_BASES))
        sample = small.write(bench.folder)
        run_sample(sample, output, model, subject.precision, bench.device, bench.units[:1])


def _expect(done: Sequence[Mapping[str, Any]], gpus: int) -> float:
    """Return the seconds that a run may take, from the one with the most GPUs that is done; 0 where there is none."""
    if not done:
        return 0.0
    run = max(done, key=lambda run: run["gpus"])
    time, of_gpus = timeline_of(run["timeline"]), int(run["gpus"])
    return _CAUTION * (time.seconds - time.embed_seconds + time.embed_seconds * max(of_gpus, 1) / max(gpus, 1))


def measure_run(bench: Bench, model: Path, sample: Path, gpus: int, number: int) -> dict[str, Any]:
    """Run the workflow; return what is kept of it."""
    output = bench.folder / "run"
    cold = number % 2 == 1
    if cold:
        _forget(model)
    with Watch(bench.units) as watch:
        began, seconds = run_sample(
            sample, output, model, bench.subject.precision, bench.device, bench.units[:gpus], bench.subject.chunks
        )
    readings = [{sensor: round(value, 2) for sensor, value in reading.items()} for reading in watch.readings]
    return {
        "subject": asdict(bench.subject),
        "gpus": gpus,
        "number": number,
        "cold": cold,
        "machine": describe_machine(bench.device) | {"cores": str(len(os.sched_getaffinity(0)))},
        "began": began,
        "timeline": asdict(read_timeline(output, began, seconds)),
        "readings": {sensor: [reading.get(sensor) for reading in readings] for sensor in readings[0]},
    }


def _forget(model: Path) -> None:
    """Remove the files of a model from the page cache."""
    for path in filter(Path.is_file, model.rglob("*")):
        with path.open("rb") as file:
            os.fsync(file.fileno())  # only pages that are on disk can be removed
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def find_runs(wanted: Sequence[str], there: int) -> list[tuple[int, int]]:
    """Return the runs as numbers of GPUs (0 for a CPU) and of the run; by default two of each, the quick ones first.

    Raises:
        UsageError: a run is not named GPUS:NUMBER, or there is no such number of GPUs.
    """
    if not wanted:
        return [(gpus, number) for gpus in _GPUS if gpus <= there for number in (1, 2)] or [(0, 1), (0, 2)]
    least = min(there, 1)
    runs = []
    for text in wanted:
        if not (found := re.fullmatch(r"(\d+):([1-9]\d*)", text)):
            raise UsageError(f"--run {text}: must be GPUS:NUMBER, as in 4:1")
        gpus, number = map(int, found.groups())
        if not least <= gpus <= there:
            raise UsageError(f"--run {text}: {there} GPUs are visible; choose from {least} to {there}")
        runs.append((gpus, number))
    return runs


def _find_subject(reads: int, contigs: int, chunks: int, encoder: str, precision: str, device: torch.device) -> Subject:
    if bool(reads) == bool(contigs):
        raise UsageError("--reads and --contigs: give one of them")
    (name,) = find_encoders([encoder], device)
    (kind,) = find_precisions(precision, [name], device)
    return Subject(reads, contigs, chunks, name, kind)


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="Folder of the results: a JSON for each run, and the tables.")],
    folder: command.Folder,
    reads: Annotated[int, typer.Option(min=0, help="Number of reads of 150 nt.")] = 0,
    contigs: Annotated[int, typer.Option(min=0, help="Bases of contigs of 3,000 bp, instead of reads.")] = 0,
    chunks: Annotated[int, typer.Option(min=1, help="Least number of chunks, as `min_chunks`.")] = 1,
    run: Annotated[
        list[str] | None,
        typer.Option(help="GPUS:NUMBER, as in 4:1; may be given several times. Default: 8, 4, 2 and 1 GPUs, twice."),
    ] = None,
    minutes: Annotated[float, typer.Option(help="Begin no run that would not end within this time.")] = 1e6,
    encoder: Annotated[str, typer.Option(help="esm2-8m … esm2-3b.")] = "esm2-3b",
    precision: Annotated[str, typer.Option(help="fp32, bf16, fp16, fp8-ff or fp8.")] = "fp16",
    device: Device = "auto",
) -> None:
    """Measure runs of the workflow on several numbers of GPUs."""
    logging.getLogger("virnucpro_kernels").setLevel(logging.INFO)
    check_folder(folder)
    found = find_device(device)
    units = tuple(visible_units(list_gpus(), os.environ.get("CUDA_VISIBLE_DEVICES"))) if found.type == "cuda" else ()
    subject = _find_subject(reads, contigs, chunks, encoder, precision, found)
    bench = Bench(subject, found, units, folder, out)
    runs = find_runs(run or [], len(units))
    out.mkdir(parents=True, exist_ok=True)
    left = measure(bench, runs, 60 * minutes)
    tables = to_markdown(bench.done())
    (out / f"{subject.name()}.md").write_text(tables)
    typer.echo(tables)
    if left:
        names = " ".join(f"--run {gpus}:{number}" for gpus, number in left)
        typer.echo(f"left for another {minutes:g} minutes: {names}")


if __name__ == "__main__":
    run_app(app)
