"""What failed in a run: `results/failed.tsv`, worked out from missing files and the records that the stages keep."""

import csv
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from virnucpro_kernels.files import atomic_path
from virnucpro_kernels.job import read_job
from virnucpro_kernels.manifest import read_manifest
from virnucpro_kernels.run import FAILED, Run


@dataclass(frozen=True)
class Failure:
    """Why a sample has no tables.

    Attributes:
        sample: its name.
        chunk: name of the chunk that failed; empty for split and collect.
        stage: `split`, `embed`, `merge`, `classify` or `collect`.
        attempts: how often it was started; 0 for a job that never was.
        exit_code: of the last attempt, as a number; `killed` for a process that could not say; empty if not started.
        log: of the last attempt.
        error: its message.
    """

    sample: str
    chunk: str
    stage: str
    attempts: int
    exit_code: str
    log: str
    error: str


def find_failures(run: Run, directory: Path = Path()) -> list[Failure]:
    """Return the failures of a run that has ended, at least one for each sample without all of its files."""
    failures = []
    for pool, samples in run.pools.items():
        unfinished = [
            sample.name
            for sample in samples
            if not all((directory / path).exists() for path in run.result_paths(sample.name))
        ]
        if unfinished:
            of_pool = list(_pool_failures(run, directory, pool))
            for sample in unfinished:
                failures += [
                    Failure(sample, *failure) for failure in of_pool or [_collect_failure(run, directory, sample)]
                ]
    return failures


def write_failures(run: Run, directory: Path = Path()) -> list[Failure]:
    """Write `results/failed.tsv` and return its rows; where nothing failed, remove it."""
    failures = find_failures(run, directory)
    path = directory / FAILED
    if not failures:
        path.unlink(missing_ok=True)
        return failures
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(field.name for field in fields(Failure))
        writer.writerows(map(astuple, failures))
    return failures


def _pool_failures(run: Run, directory: Path, pool: str) -> Iterator[tuple[str, str, int, str, str, str]]:
    """Yield what keeps the samples of a pool from being collected, as the fields of `Failure` after the sample."""
    manifest = directory / run.split_dir(pool) / "chunks.tsv"
    if not manifest.exists():
        # A chunk whose FASTA is damaged removes the manifest, so that the next start splits the pool again.
        chunks = {path.name.split(".")[0] for path in (directory / run.embedding_dir(pool)).glob("*.embed.json")}
        damaged = [row for chunk in sorted(chunks) if (row := _stopped(run, directory, "embed", pool, chunk))]
        split = _stopped(run, directory, "split", pool)
        yield from damaged or [split or _not_started("split")]
        return
    for chunk in read_manifest(manifest):
        if (directory / run.score_dir(pool) / f"{chunk.chunk}.parquet").exists():
            continue
        stages = ("embed", "merge", "classify")
        # The latest record tells: an earlier run may have left one of a later stage.
        latest = max(
            stages, key=lambda stage: str(_record(run, directory, stage, pool, chunk.chunk).get("started", ""))
        )
        yield _stopped(run, directory, latest, pool, chunk.chunk) or _not_started("embed", chunk.chunk)


def _collect_failure(run: Run, directory: Path, sample: str) -> tuple[str, str, int, str, str, str]:
    return _stopped(run, directory, "collect", sample) or _not_started("collect")


def _record(run: Run, directory: Path, stage: str, unit: str, chunk: str = "") -> dict[str, Any]:
    return read_job(directory / run.record_path(stage, unit, chunk))


def _stopped(
    run: Run, directory: Path, stage: str, unit: str, chunk: str = ""
) -> tuple[str, str, int, str, str, str] | None:
    """The fields of a job that was started and did not complete."""
    record = _record(run, directory, stage, unit, chunk)
    if record.get("state") not in {"failed", "running"}:
        return None
    code = str(record.get("exit_code", "killed"))
    error = " ".join(str(record.get("error", "the process ended without a word; see its log")).split())
    log = run.log_path(stage, unit, chunk)
    return chunk, stage, int(record.get("attempts", 1)), code, str(log), error


def _not_started(stage: str, chunk: str = "") -> tuple[str, str, int, str, str, str]:
    return chunk, stage, 0, "", "", "not started"
