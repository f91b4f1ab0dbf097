"""Tables of the runs that `benchmarks.scaling` measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

from benchmarks.results import markdown_table
from benchmarks.schedule import fit, fit_speeds, simulate
from benchmarks.timeline import Timeline, timeline_of
from benchmarks.watch import energy, idle_fraction
from virnucpro_kernels.bench.results import format_known as known


def to_markdown(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the tables of runs of one subject."""
    if not runs:
        return "no run is measured\n"
    runs = sorted(runs, key=lambda run: (run["gpus"], run["number"]))
    timelines = [timeline_of(run["timeline"]) for run in runs]
    machines = [", ".join(f"{name} {value}" for name, value in run["machine"].items()) for run in runs]
    lines = [*dict.fromkeys(machines), ""]
    lines += [", ".join(f"{name} {value}" for name, value in runs[0]["subject"].items() if value), ""]
    lines += _runs(runs, timelines)
    lines += ["", "Seconds of a run outside embedding, and of the jobs (means):", "", *_costs(runs, timelines)]
    lines += ["", "Each GPU:", "", *_gpus(runs, timelines)]
    lines += ["", "Measured and simulated, with the costs of the runs on the fewest GPUs:", ""]
    lines += _simulated(runs, timelines)
    return "\n".join(lines) + "\n"


def _name(run: Mapping[str, Any]) -> tuple[str, str]:
    return f"{run['gpus']}:{run['number']}", "disk" if run["cold"] else "cache"


def _readings(run: Mapping[str, Any]) -> list[dict[str, float]]:
    """Return the readings with their times in seconds since the start of the command."""
    rows = [dict(zip(run["readings"], values, strict=True)) for values in zip(*run["readings"].values(), strict=True)]
    known_rows = [{sensor: value for sensor, value in row.items() if value is not None} for row in rows]
    return [{**row, "time": row["time"] - run["began"]} for row in known_rows]


def _runs(runs: Sequence[Mapping[str, Any]], timelines: Sequence[Timeline]) -> list[str]:
    fewest = [time for run, time in zip(runs, timelines, strict=True) if run["gpus"] == runs[0]["gpus"]]
    embed, whole = fmean(time.embed_seconds for time in fewest), fmean(time.seconds for time in fewest)
    rows: list[tuple[str, ...]] = []
    for run, time in zip(runs, timelines, strict=True):
        readings = _readings(run)
        joules = [energy(readings, gpu, time.embed_start, time.embed_end) for gpu in time.by_gpu()]
        cached, used = ([row[sensor] / 1e9 for row in readings] for sensor in ("cached", "used"))
        rows.append(
            (
                *_name(run),
                str(len(time.jobs)),
                f"{time.embed_seconds:.1f}",
                f"{embed / time.embed_seconds:.2f}",
                f"{time.seconds:.1f}",
                f"{whole / time.seconds:.2f}",
                "" if None in joules else f"{sum(filter(None, joules)) / 1e3:.1f}",
                f"{cached[0]:.1f} to {max(cached):.1f}",
                f"{max(used) - used[0]:.1f}",
            )
        )
    return markdown_table(
        ("run", "model from", "chunks", "embed s", "gain", "whole s", "gain", "kJ"),
        ("page cache GB", "host memory of the run GB"),
        rows,
    )


def _costs(runs: Sequence[Mapping[str, Any]], timelines: Sequence[Timeline]) -> list[str]:
    rows: list[tuple[str, ...]] = []
    for run, time in zip(runs, timelines, strict=True):
        ends = [time.ends[stage] for stage in ("embed", "merge", "classify", "collect")]
        jobs = time.jobs
        rows.append(
            (
                *_name(run),
                f"{time.split_start:.1f}",
                f"{time.split_seconds:.1f}",
                f"{time.embed_start - time.split_start - time.split_seconds:.1f}",
                *(f"{after - before:.1f}" for before, after in pairwise([*ends, time.seconds])),
                f"{fmean(job.process_seconds - job.complete + job.start for job in jobs):.1f}",
                f"{fmean(job.read_seconds for job in jobs):.1f}",
                f"{fmean(job.load_seconds for job in jobs):.1f}",
                f"{fmean(job.first_batch - job.start for job in jobs):.1f}",
                f"{max(job.first_batch - job.start for job in jobs):.1f}",
                f"{fmean(job.cpu_seconds / job.process_seconds for job in jobs):.2f}",
            )
        )
    return markdown_table(
        ("run", "model from", "to split", "split", "to embed", "merge", "classify", "collect", "end"),
        ("process before the record", "reading", "loading", "to first batch", "longest", "CPU cores a job"),
        rows,
    )


def _gpus(runs: Sequence[Mapping[str, Any]], timelines: Sequence[Timeline]) -> list[str]:
    """Return a row for each GPU. Before the last chunk of all is given out, a GPU that is idle could have worked."""
    rows: list[tuple[str, ...]] = []
    for run, time in zip(runs, timelines, strict=True):
        readings, last = _readings(run), time.jobs[-1].start
        for gpu, jobs in time.by_gpu().items():
            gaps = [after.start - before.end for before, after in pairwise(jobs)]
            idle = [idle_fraction(readings, gpu, time.embed_start, until) for until in (last, time.embed_end)]
            joules = energy(readings, gpu, time.embed_start, time.embed_end)
            rows.append(
                (
                    *_name(run),
                    gpu[:12],
                    str(len(jobs)),
                    f"{sum(job.tokens for job in jobs) / sum(job.end - job.first_batch for job in jobs):,.0f}",
                    f"{jobs[-1].start - time.embed_start:.1f}",
                    f"{time.embed_end - jobs[-1].end:.1f}",
                    f"{sum(gaps):.1f}",
                    *("" if value is None else f"{value:.1%}" for value in idle),
                    known(None if joules is None else joules / 1e3, ".1f"),
                )
            )
    return markdown_table(
        ("run", "model from", "GPU", "chunks", "tokens/s", "last chunk at s", "tail s", "without a job s"),
        ("idle before the last chunk", "idle in embedding", "kJ"),
        rows,
    )


def _simulated(runs: Sequence[Mapping[str, Any]], timelines: Sequence[Timeline]) -> list[str]:
    costs = fit([time for run, time in zip(runs, timelines, strict=True) if run["gpus"] == runs[0]["gpus"]])
    rows: list[tuple[str, ...]] = []
    for run, time in zip(runs, timelines, strict=True):
        tokens = [job.tokens for job in time.jobs]
        equal = simulate(tokens, [1.0] * max(run["gpus"], 1), costs)
        own = simulate(tokens, fit_speeds(time, costs), costs)
        rows.append(
            (
                *_name(run),
                f"{time.embed_seconds:.1f}",
                *(f"{s.embed_seconds:.1f} ({s.embed_seconds / time.embed_seconds - 1:+.1%})" for s in (equal, own)),
                f"{time.seconds:.1f}",
                f"{equal.seconds:.1f} ({equal.seconds / time.seconds - 1:+.1%})",
            )
        )
    return markdown_table(
        ("run", "model from", "embed s", "simulated", "with the GPUs' own speeds", "whole s", "simulated"), (), rows
    )
