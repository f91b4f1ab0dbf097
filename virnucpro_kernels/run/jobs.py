"""The jobs of a run and where each keeps its record, as far as chunks are known."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from virnucpro_kernels.pool.file_names import MANIFEST
from virnucpro_kernels.pool.manifest import read_manifest
from virnucpro_kernels.run.run import CHUNK_STAGES, Run


@dataclass(frozen=True)
class RunJob:
    """A job of a run.

    Attributes:
        stage: Stage of the job.
        unit: Its pool, pool and chunk, or sample, in words.
        record: Its record, relative to the folder of the run.
        tokens: Protein tokens of its chunk; 0 where it has none.
    """

    stage: str
    unit: str
    record: Path
    tokens: int = 0


def list_jobs(run: Run, directory: Path) -> list[RunJob]:
    """Return the jobs of a run; one that several settings of a sweep share comes once."""
    return list({job.record: job for one in run.settings for job in _jobs_of(one, directory)}.values())


def _jobs_of(run: Run, directory: Path) -> Iterator[RunJob]:
    for pool in run.pools:
        yield RunJob("split", pool, run.record_path("split", pool))
        manifest = directory / run.split_dir(pool) / MANIFEST
        for chunk in read_manifest(manifest) if manifest.exists() else ():
            for stage in CHUNK_STAGES:
                record = run.record_path(stage, pool, chunk.chunk)
                yield RunJob(stage, f"{pool}/{chunk.chunk}", record, chunk.protein_tokens)
    for sample in run.samples:
        yield RunJob("collect", run.result_name(sample.name), run.record_path("collect", sample.name))
