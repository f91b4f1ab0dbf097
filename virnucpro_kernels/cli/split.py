"""`virnucpro split`: the contigs of a pool become windows, frames and length-sorted chunks."""

import enum
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from virnucpro_kernels.cli.frames import LayoutChoice
from virnucpro_kernels.pool.job_record import duration

if TYPE_CHECKING:
    from virnucpro_kernels.pool.unusable import Unusable
    from virnucpro_kernels.split.split import PoolSummary

#: Protein tokens a second of ESM-2 3B in 16 bit, by GPU; the rest of the work is small beside it.
_GPU_TOKENS_PER_SECOND = {"an H200": 100_000, "an RTX 4090": 18_000}


class DuplicateChoice(enum.StrEnum):
    """Values of `--duplicate-ids`."""

    ERROR = "error"
    SUFFIX = "suffix"


def split(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="[SAMPLE=]FILE…",
            help="Sequence files of the pool, each a sample; without a name it is called after its file."
            " `-` is standard input.",
        ),
    ],
    window_length: Annotated[int, typer.Option(min=3, max=10_000_000, help="Bases of a window.")],
    output_dir: Annotated[Path, typer.Option(help="Folder for tables, chunks and manifest.")],
    layout: Annotated[
        LayoutChoice, typer.Option(help="The original's windows, or windows spread evenly, the last at full length.")
    ] = LayoutChoice.ORIGINAL,
    min_length: Annotated[int, typer.Option(min=0, help="Contigs with fewer bases are not scored.")] = 3,
    duplicate_ids: Annotated[
        DuplicateChoice, typer.Option(help="Stop where an ID occurs twice in a sample, or number the repeats.")
    ] = DuplicateChoice.ERROR,
    chunk_tokens: Annotated[int, typer.Option(min=1, help="Protein tokens of a chunk.")] = 32_000_000,
    min_chunks: Annotated[int, typer.Option(min=1, help="Chunks there shall be at least.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Processes that work.")] = 1,
) -> None:
    """Write the tables, the chunks and the manifest of a pool, and say what work they are.

    A sample of several whose file cannot be used is left out, and named in unusable.tsv.
    """
    from virnucpro_kernels.pool.job_record import Job
    from virnucpro_kernels.pool.unusable import NothingUsableError
    from virnucpro_kernels.split.split import SplitOptions, split_pool
    from virnucpro_kernels.split.windows import Geometry

    samples = _samples(inputs)
    options = SplitOptions(
        Geometry(window_length, layout.value), min_length, duplicate_ids.value, chunk_tokens, min_chunks, threads
    )
    facts = {"geometry": str(options.geometry), "min_length": min_length, "samples": len(samples), "threads": threads}
    with Job(output_dir / "split.json", "split", facts) as job:
        try:
            summary = split_pool(samples, output_dir, options, job.progress)
        except NothingUsableError as error:
            job.facts["unusable"] = _messages(error.unusable)
            raise
        job.facts |= {
            "contigs": summary.contigs,
            "status": summary.statuses,
            "windows": summary.windows,
            "frames": summary.frames,
            "chunks": summary.chunks,
            "protein_tokens": summary.protein_tokens,
            "nucleotide_tokens": summary.nucleotide_tokens,
            "warnings": [str(warning) for warning in summary.warnings],
            "unusable": _messages(summary.unusable),
        }
    for found in summary.unusable:
        typer.echo(f"error: sample {found.sample} is left out: {found.error}", err=True)
    for warning in summary.warnings:
        typer.echo(f"warning: {warning}", err=True)
    for line in _describe(summary):
        typer.echo(line)


def _messages(unusable: "Sequence[Unusable]") -> dict[str, str]:
    """What is wrong with each sample, as the record of a job says why that failed."""
    return {found.sample: f"InputError: {found.error}" for found in unusable}


def _samples(inputs: list[str]) -> list[tuple[str, Path]]:
    """Name and file of each argument; an argument that is a file's name is that file, `=` or not."""
    from virnucpro_kernels.errors import UsageError

    samples = []
    for argument in inputs:
        name, sign, path = argument.partition("=")
        if argument == "-":
            samples.append(("stdin", Path("-")))
        elif sign and not Path(argument).exists():
            samples.append((name, Path(path)))
        else:
            from virnucpro_kernels.run.samples import name_samples

            samples += [(sample.name, sample.input) for sample in name_samples([Path(argument)])]
    names = [name for name, _ in samples]
    for name in names:
        if not name or names.count(name) > 1:
            raise UsageError(
                f"sample name {name!r} is empty or occurs twice: name the samples, as in a=one.fa b=two.fa"
            )
    return samples


def _describe(summary: "PoolSummary") -> list[str]:
    statuses = ", ".join(f"{count:,} {status}" for status, count in summary.statuses.items() if count) or "none"
    times = " or ".join(
        f"{duration(summary.protein_tokens / rate)} on {gpu} ({rate:,} tokens/s)"
        for gpu, rate in _GPU_TOKENS_PER_SECOND.items()
    )
    return [
        f"contigs  {summary.contigs:,} ({statuses})",
        f"windows  {summary.windows:,}",
        f"frames   {summary.frames:,} in {summary.chunks:,} chunks",
        f"tokens   {summary.protein_tokens:,} protein, about {summary.nucleotide_tokens:,} nucleotide",
        f"GPU time with ESM-2 3B in 16 bit: about {times}",
    ]
