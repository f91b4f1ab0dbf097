"""What runs on a cluster would take, by the schedule of `benchmarks.schedule` with the costs of measured runs.

    python -m benchmarks.predictions OUT/*-1-1.json OUT/*-2-1.json [--reads 22000000] [--gpus 8 --gpus 64 --gpus 512]

The costs of Slurm are options, since no run there was measured on GPUs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.results import markdown_table
from benchmarks.schedule import Costs, fit, simulate
from benchmarks.timeline import timeline_of
from virnucpro_kernels.cli.main import run_app
from virnucpro_kernels.pool.tokens import SPECIAL_TOKENS
from virnucpro_kernels.split.chunk_plan import plan_chunks

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_RESIDUES = 50
#: Frames of the random reads of `benchmarks.inputs`, for each read.
_FRAMES = 0.802
_DEFAULT = 32_000_000


def equal_chunks(tokens: int, chunk_tokens: int, at_least: int = 1) -> list[int]:
    """Return the chunks into which `split` divides the frames of reads."""
    frames = np.zeros(_RESIDUES + 1, np.int64)
    frames[_RESIDUES] = tokens // (_RESIDUES + SPECIAL_TOKENS)
    return [int(chunk) for chunk in plan_chunks(frames, chunk_tokens=chunk_tokens, min_chunks=at_least).tokens]


def graded_chunks(tokens: int, largest: int, smallest: int, small_fraction: float) -> list[int]:
    """Return chunks of two sizes, the small ones for the end, when GPUs become free at different times."""
    small = int(tokens * small_fraction)
    return [*equal_chunks(tokens - small, largest), *equal_chunks(small, smallest)]


def guided_chunks(tokens: int, largest: int) -> list[int]:
    """Return chunks that become smaller towards the end, eight of each size, a sixteenth of what is left.

    Where that is less than an eighth of the largest, eight take the rest.
    """
    chunks: list[int] = []
    left = tokens
    while left > 0:
        size = min(largest, left // 16)
        if size < largest // 8:
            return [*chunks, *equal_chunks(left, left, 8)]
        chunks += [size] * 8
        left -= 8 * size
    return chunks


def chunk_plans(tokens: int, gpus: int) -> Iterator[tuple[str, list[int]]]:
    """Yield ways to divide an input for a number of GPUs, each with its name."""
    for parts in (1, 2, 4, 8, 16):
        size = _DEFAULT // parts
        yield f"{size / 1e6:g} M{', the default' * (parts == 1)}", equal_chunks(tokens, size)
    rounds = -(-tokens // (_DEFAULT * gpus))
    yield "a multiple of the GPUs", equal_chunks(tokens, _DEFAULT, rounds * gpus)
    yield "32 M, the last quarter in 8 M", graded_chunks(tokens, _DEFAULT, _DEFAULT // 4, 0.25)
    yield "smaller towards the end", guided_chunks(tokens, _DEFAULT)


def predict(tokens: int, gpus: int, costs: Mapping[str, Costs]) -> list[tuple[str, ...]]:
    """Return a row for each way to divide an input and each kind of costs."""
    rows: list[tuple[str, ...]] = []
    for name, chunks in chunk_plans(tokens, gpus):
        for kind, cost in costs.items():
            one = sum(chunks) / cost.rate
            run = simulate(chunks, [1.0] * gpus, cost)
            gain = one / run.embed_seconds
            cells = f"{run.embed_seconds:,.0f}", f"{gain:.1f}", f"{gain / gpus:.1%}", f"{run.seconds:,.0f}"
            rows.append((str(gpus), kind, name, str(len(chunks)), *cells))
    return rows


@app.command()
def main(
    runs: Annotated[list[Path], typer.Argument(help="JSON of measured runs, from which the costs follow.")],
    reads: Annotated[int, typer.Option(min=1, help="Number of reads.")] = 22_000_000,
    gpus: Annotated[list[int] | None, typer.Option(min=1, help="Number of GPUs. Default: 8, 64, 512.")] = None,
    start: Annotated[float, typer.Option(help="Slurm: seconds from the start of a job to its first batch.")] = 15.0,
    submit: Annotated[float, typer.Option(help="Slurm: seconds between two submissions.")] = 0.2,
    poll: Annotated[float, typer.Option(help="Slurm: seconds until the end of a job is noticed.")] = 40.0,
    queue: Annotated[int, typer.Option(help="Slurm: most jobs at once, as `jobs` of the profile.")] = 100,
) -> None:
    """Say what an input would take on many GPUs."""
    here = fit([timeline_of(json.loads(path.read_text())["timeline"]) for path in runs])
    # After the last vectors there are three jobs more, one after the other: merge and classify, gather, collect.
    slurm = replace(here, first_start=start, start=start, submit=submit, queue=queue, finish=here.finish + 4 * poll)
    kinds = {
        "one host": here,
        f"Slurm, {queue} jobs at once": slurm,
        "Slurm, job arrays": replace(slurm, submit=0.0, queue=0),
    }
    tokens = int(reads * _FRAMES) * (_RESIDUES + SPECIAL_TOKENS)
    typer.echo(f"{here}\n")
    rows = [row for number in gpus or (8, 64, 512) for row in predict(tokens, number, kinds)]
    header = (
        ("GPUs", "where", "chunk tokens", "chunks"),
        ("embed s", "times one GPU that never waits", "of it", "whole s"),
    )
    typer.echo("\n".join(markdown_table(*header, rows)))


if __name__ == "__main__":
    run_app(app)
