"""The job of `virnucpro split`: a pool is split, its record kept, and the user told how much work it holds."""

from collections.abc import Callable, Sequence
from pathlib import Path

from virnucpro_kernels.pool.file_names import CONTIGS, MANIFEST, UNUSABLE, WINDOWS, record_name
from virnucpro_kernels.pool.job_record import Job, counted
from virnucpro_kernels.pool.speed import ESM2_3B_PARAMETERS, gpu_times
from virnucpro_kernels.pool.unusable import NothingUsableError, Unusable
from virnucpro_kernels.split.split import PoolSummary, SplitOptions, split_pool

Say = Callable[[str], object]


def run_split(
    samples: Sequence[tuple[str, Path]], output_dir: Path, options: SplitOptions, *, say: Say, warn: Say
) -> None:
    """Split a pool and keep the record of the job.

    Args:
        samples: Name and sequence file of each sample.
        output_dir: Folder for tables, chunks and manifest.
        options: Options of the split.
        say: Function that prints a line of the result.
        warn: Function that prints a line about what is wrong with the input.

    Raises:
        InputError: no file can be used.
        UsageError: a file changed while it was read.
        VirnucproError: a worker process died.
    """
    facts = {
        "geometry": str(options.geometry),
        "min_length": options.min_length,
        "samples": len(samples),
        "threads": options.threads,
    }
    with Job(output_dir / record_name("split"), "split", facts) as job:
        try:
            summary = split_pool(samples, output_dir, options, job.progress)
        except NothingUsableError as error:
            job.facts["unusable"] = _messages(error.unusable)
            raise
        job.wrote(*(output_dir / name for name in (CONTIGS, WINDOWS, UNUSABLE, MANIFEST)))
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
        warn(f"error: sample {found.sample} is left out: {found.error}")
    for warning in summary.warnings:
        warn(f"warning: {warning}")
    for line in describe_pool(summary):
        say(line)


def _messages(unusable: Sequence[Unusable]) -> dict[str, str]:
    """Return what is wrong with each sample, in the form in which a job's record gives the reason of a failure."""
    return {found.sample: f"InputError: {found.error}" for found in unusable}


def describe_pool(summary: PoolSummary) -> list[str]:
    """Return how much work a pool holds, for people."""
    statuses = ", ".join(f"{count:,} {status}" for status, count in summary.statuses.items() if count) or "none"
    times = gpu_times(summary.protein_tokens, ESM2_3B_PARAMETERS)
    return [
        f"contigs  {summary.contigs:,} ({statuses})",
        f"windows  {summary.windows:,}",
        f"frames   {summary.frames:,} in {counted(summary.chunks, 'chunk')}",
        f"tokens   {summary.protein_tokens:,} protein, about {summary.nucleotide_tokens:,} nucleotide",
        f"GPU time with ESM-2 3B in 16 bit: about {times}",
    ]
