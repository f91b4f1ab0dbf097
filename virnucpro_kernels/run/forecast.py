"""What a start of the workflow would do, in a page: jobs, work, time and disk."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from virnucpro_kernels.pool.job_record import counted, length_in_words
from virnucpro_kernels.pool.speed import cpu_time, gpu_times
from virnucpro_kernels.pool.tokens import BASES_PER_NUCLEOTIDE_TOKEN, BASES_PER_PROTEIN_TOKEN, SPECIAL_TOKENS
from virnucpro_kernels.run.progress import State
from virnucpro_kernels.run.run import Run
from virnucpro_kernels.split.chunk_plan import count_chunks

#: Bytes of the FASTA files of chunks for each base, and of results and scores for each frame.
_CHUNK_BYTES_PER_BASE = 8
_RESULT_BYTES_PER_FRAME = 500


def describe_work(run: Run, state: State, directory: Path, *, jobs: int, cores: int) -> Iterator[str]:
    """Yield the work that is left to a run, the time that it takes and its peak of disk space, all estimated.

    Args:
        run: The run.
        state: State of the run now.
        directory: Folder of the run.
        jobs: Number of embedding jobs at once.
        cores: Number of CPU cores.
    """
    protein_tokens = state.tokens - state.tokens_done
    bases = protein_tokens * BASES_PER_PROTEIN_TOKEN
    windows = bases // run.model.window_length
    frames = protein_tokens // (run.model.window_length // 3 + SPECIAL_TOKENS)
    expected = count_chunks(protein_tokens, run.config["chunk_tokens"])
    chunks = max(expected, run.config["min_chunks"], state.chunks - state.embedded)
    yield (
        f"about {length_in_words(bases)}: {windows:,} windows, {frames:,} frames, {protein_tokens:,} protein tokens, in"
        f" about {counted(chunks, 'embedding job')}"
    )
    parameters = run.model.protein.bytes / 2  # stored in 16 bit
    work = protein_tokens + bases / BASES_PER_NUCLEOTIDE_TOKEN * run.model.nucleotide.bytes / run.model.protein.bytes
    time = gpu_times(work, parameters) if run.device == "cuda" else cpu_time(work, parameters, cores)
    yield f"embedding takes about {time}"
    dimension = run.model.nucleotide.dimension + run.model.protein.dimension
    vectors = frames * dimension * run.bytes_per_value
    kept = vectors if run.config["keep"] else vectors * min(1, (jobs + 2) / chunks)
    disk = bases * _CHUNK_BYTES_PER_BASE + frames * _RESULT_BYTES_PER_FRAME + kept
    free = shutil.disk_usage(directory).free
    yield f"about {max(disk / 1e9, 0.1):,.1f} GB of disk space at most at a time; {free / 1e9:,.0f} GB are free"


def planned_jobs(log: str) -> dict[str, int]:
    """Return the number of jobs of each rule from the log of a dry run of Snakemake."""
    table = log.rpartition("Job stats:")[2].partition("total")[0]
    found = re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)
    return {rule: int(number) for rule, number in found if rule not in ("all", "default")}
