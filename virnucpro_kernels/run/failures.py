"""Failures of a run, for `results/failed.tsv`: found from missing files and from the records that the jobs keep."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import remove_leftovers
from virnucpro_kernels.pool.file_names import FAILED, MANIFEST, SCORE_SUFFIX, record_name
from virnucpro_kernels.pool.job_record import read_job
from virnucpro_kernels.pool.manifest import read_manifest
from virnucpro_kernels.run.failed_table import Failure, write_failed
from virnucpro_kernels.run.run import CHUNK_STAGES, Run

#: Error of a job that left neither a record nor a line in its log: it was killed early, or could not be submitted.
SILENT = "ended without a word"


@dataclass(frozen=True)
class _JobTrace:
    """The record and the log of a job.

    Attributes:
        run: Run of the job.
        directory: Folder of the run.
        since: Time of this start of the run, in seconds since the epoch.
        stage: Stage of the job.
        unit: Sample for `collect`, pool for all other stages.
        chunk: Chunk, for stages that have one.
    """

    run: Run
    directory: Path
    since: float
    stage: str
    unit: str
    chunk: str = ""

    @property
    def log(self) -> Path:
        return self.run.log_path(self.stage, self.unit, self.chunk)

    @property
    def record(self) -> dict[str, Any]:
        return read_job(self._record_path)

    @property
    def _record_path(self) -> Path:
        return self.directory / self.run.record_path(self.stage, self.unit, self.chunk)

    @property
    def last_sign(self) -> float:
        """Time at which the job last wrote its record or its log; 0 if it was never started."""
        traces = (self._record_path, self.directory / self.log)
        return max((path.stat().st_mtime for path in traces if path.exists()), default=0.0)

    @property
    def stopped(self) -> bool:
        """Whether the job was started, now or by an earlier start of the run, and did not complete."""
        return self.last_sign > 0 and self.record.get("state") != "complete"

    @property
    def failed(self) -> bool:
        """Whether this start of the run has started the job, and it did not complete."""
        return self.stopped and self.last_sign >= self.since

    def failure(self, sample: str) -> Failure:
        """Return the failure of the sample with this name of results."""
        if not self.failed:
            return Failure(sample, self.chunk, self.stage, 0, "", "", "not started")
        record = self.record
        said = record.get("error") or _last_line(self.directory / self.log)
        could_not_say = bool(record) or not said
        return Failure(
            sample,
            self.chunk,
            self.stage,
            int(record.get("attempts", 1)),
            str(record.get("exit_code", "killed" if could_not_say else "")),
            str(self.log),
            _one_line(str(said or SILENT)),
        )


def find_failures(run: Run, directory: Path = Path(), since: float = 0.0) -> list[Failure]:
    """Return the failures of a run that has ended, at least one for each sample without all of its files.

    Tables that are older than a failed job on which they depend belong to an earlier run, of other input or parameters.

    Args:
        run: Run whose failures are wanted.
        directory: Folder of the run.
        since: Time of the start of the run, in seconds since the epoch. A job that failed before, but not now, counts
            as not started.
    """
    return [failure for one in run.settings for failure in _failures_of(one, directory, since)]


def _failures_of(run: Run, directory: Path, since: float) -> list[Failure]:
    """Return the failures of one setting, or of a run that is no sweep."""
    failures: list[Failure] = []
    for pool, samples in run.pools.items():
        split = _JobTrace(run, directory, since, "split", pool)
        of_pool = _unfinished_jobs(split)
        stopped = [job for job in of_pool if job.failed]
        latest = max((job.last_sign for job in stopped), default=0.0)
        for sample in samples:
            name = run.result_name(sample.name)
            collect = replace(split, stage="collect", unit=sample.name)
            unusable = split.record.get("unusable", {}).get(sample.name)
            if unusable and (split.failed or collect.failed):
                attempts, code = int(split.record.get("attempts", 1)), str(UsageError.exit_code)
                error = _one_line(unusable)
                failures.append(Failure(name, "", split.stage, attempts, code, str(split.log), error))
                continue
            tables = [directory / path for path in run.result_paths(sample.name)]
            if all(path.exists() and path.stat().st_mtime >= latest for path in tables):
                continue
            jobs = stopped or ([collect] if collect.failed else of_pool) or [collect]
            failures += [job.failure(name) for job in jobs]
    return failures


def write_failures(run: Run, directory: Path = Path(), *, since: float = 0.0, unstarted: bool = True) -> None:
    """Write `results/failed.tsv`; where nothing failed, remove it.

    Args:
        run: Run that has ended.
        directory: Folder of the run.
        since: Time of the start of the run, see `find_failures`.
        unstarted: Whether a job that was never started counts as failed. It does not where the user wanted only a part
            of the workflow.
    """
    failures = [failure for failure in find_failures(run, directory, since) if unstarted or failure.attempts]
    path = directory / FAILED
    remove_leftovers(path)
    if not failures:
        path.unlink(missing_ok=True)
        return
    write_failed(path, failures)


def remove_old_report(run: Run, directory: Path, since: float) -> None:
    """Remove the report of an earlier start, with its figures, after a start in which samples failed.

    It shows what this start was to make anew. `virnucpro report` makes one of the samples that are complete.

    Args:
        run: Run that has ended.
        directory: Folder of the run.
        since: Time of the start of the run, see `find_failures`.
    """
    if any(failure.attempts for failure in find_failures(run, directory, since)):
        for path in (directory / path for path in run.report.values()):
            if path.exists() and path.stat().st_mtime < since:
                path.unlink()


def _unfinished_jobs(split: _JobTrace) -> list[_JobTrace]:
    """Return the jobs that samples of a pool still wait for: `split`, or one for each chunk without scores."""
    run, directory, pool = split.run, split.directory, split.unit
    manifest = directory / run.split_dir(pool) / MANIFEST
    if not manifest.exists():
        # Where the FASTA of a chunk is damaged, the end of the start has removed the manifest (`mend_after_failures`).
        records = (directory / run.embedding_dir(pool)).glob(record_name("embed", "*"))
        chunks = sorted(path.name.split(".")[0] for path in records)
        damaged = [job for chunk in chunks if (job := replace(split, stage="embed", chunk=chunk)).stopped]
        return damaged or [split]
    unfinished = []
    for chunk in read_manifest(manifest):
        if (directory / run.score_dir(pool) / f"{chunk.chunk}{SCORE_SUFFIX}").exists():
            continue
        # The stage that wrote last is the one that stopped: an earlier run may have left a record of a later stage.
        jobs = [replace(split, stage=stage, chunk=chunk.chunk) for stage in CHUNK_STAGES]
        latest = max(range(len(jobs)), key=lambda stage: (jobs[stage].last_sign, -stage))
        done = jobs[latest].last_sign > 0 and not jobs[latest].stopped
        unfinished.append(jobs[min(latest + done, len(jobs) - 1)])
    return unfinished


def _one_line(text: str) -> str:
    """Join the lines of a message by semicolons."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return " ".join([*(line if line[-1] in ".:;," else f"{line};" for line in lines[:-1]), lines[-1]])


def _last_line(log: Path) -> str:
    if not log.exists():
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
