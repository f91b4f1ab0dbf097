"""Summary of a run in a few lines: counts, times, failures, and the files to look at."""

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from virnucpro_kernels.pool.file_names import CONTIG_TABLE, RUN_RECORD, VIRAL_FASTA
from virnucpro_kernels.pool.job_record import counted, read_job
from virnucpro_kernels.run.failed_table import Failure
from virnucpro_kernels.run.folder import SHEET
from virnucpro_kernels.run.jobs import list_jobs
from virnucpro_kernels.run.run import CHUNK_STAGES, Run

_LISTED = 10
STAGES = ("split", *CHUNK_STAGES, "collect")


def describe_results(run: Run, directory: Path, failures: Sequence[Failure], *, went_on: bool = False) -> Iterator[str]:
    """Yield the lines at the end of a run: complete samples, their sum, the time of each stage, the files to look at.

    Args:
        run: Run that has ended.
        directory: Folder of the run.
        failures: Failures of the run, whose samples are left out.
        went_on: Whether an earlier start did some of the work, so that its time is among those shown.
    """
    # They are about the inputs, so that those of one setting say all.
    warnings = [
        warning
        for pool in run.pools
        for warning in read_job(directory / run.record_path("split", pool)).get("warnings", ())
    ]
    for warning in warnings[:_LISTED]:
        yield f"warning: {warning}"
    if len(warnings) > _LISTED:
        command = shlex.join(["virnucpro", "check", "--samples", str(directory / SHEET)])
        yield f"and {len(warnings) - _LISTED} more warnings: `{command}` lists them"
    finished = _finished(run, directory, {failure.sample for failure in failures})
    records = list(finished.values())
    if not records:
        return
    for name, record in list(finished.items())[:_LISTED]:
        yield f"{name}: {_counts([record])}"
    if len(records) > _LISTED:
        yield f"and {len(records) - _LISTED} more samples"
    if len(records) > 1 and not run.sweep:
        yield f"all {len(records)} samples: {_counts(records)}"
    of_what = " of the whole run, earlier starts included" if went_on else ""
    yield f"time{of_what}: {_times(run, directory)}"
    several = "SETTING/SAMPLE" if run.sweep else "SAMPLE"
    where = directory / run.results_root / (next(iter(finished)) if len(records) == 1 else several)
    yield f"results: {where}/{CONTIG_TABLE} (every contig), {VIRAL_FASTA} (those called viral)"
    page = run.report.get("page")
    if page and not failures and (directory / page).exists():
        yield f"report: {directory / page}"
    elif page and failures:
        command = shlex.join(["virnucpro", "report", str(directory / run.results_root)])
        yield f"no report while samples fail; of those that are complete: {command}"
    comparison = [directory / path for path in run.comparison]
    if comparison and not failures and all(path.exists() for path in comparison):
        yield f"settings compared: {' and '.join(map(str, comparison))}"
    notices = dict.fromkeys(record["model"].get("notice") for record in records)
    for notice in filter(None, notices):
        models = dict.fromkeys(record["model"]["name"] for record in records if record["model"].get("notice") == notice)
        yield f"note: {', '.join(models)}: {notice}" if run.sweep else f"note: {notice}"


def _finished(run: Run, directory: Path, failed: set[str]) -> dict[str, dict[str, Any]]:
    """Return the record of each sample, by the name of its results, that has all of its files and has not failed."""
    return {
        name: record
        for one in run.settings
        for sample in one.samples
        if (name := one.result_name(sample.name)) not in failed
        and all((directory / path).exists() for path in one.result_paths(sample.name))
        and (record := read_job(directory / one.results / sample.name / RUN_RECORD))
    }


def describe_failures(run: Run, failures: Sequence[Failure], directory: Path) -> Iterator[str]:
    """Yield a line for each of the first failures."""
    samples = {failure.sample for failure in failures}
    old = [name for name in sorted(samples) if (directory / run.results_root / name / RUN_RECORD).exists()]
    yield f"{counted(len(samples), 'sample')} without results"
    if old:
        more = ", …" * (len(old) > _LISTED)
        yield f"  the tables of an earlier run are still there: {', '.join(old[:_LISTED])}{more}"
    for failure in failures[:_LISTED]:
        unit = f"sample {failure.sample}" + (f", chunk {failure.chunk}" if failure.chunk else "")
        code = f" (exit code {failure.exit_code})" if failure.exit_code.isdigit() else ""
        log = f"; log: {directory / failure.log}" if failure.log else ""
        yield f"  {unit}: {failure.stage}{code}: {failure.error}{log}"
    if len(failures) > _LISTED:
        yield f"  and {len(failures) - _LISTED} more"


def _counts(records: Sequence[dict[str, Any]]) -> str:
    statuses: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for record in records:
        statuses.update(record["counts"]["status"])
        calls.update(record["counts"]["call"])
    by_status = ", ".join(f"{count:,} {status}" for status, count in statuses.most_common() if count)
    uncalled = statuses["scored"] - calls["viral"] - calls["host"]
    doubt = f", {uncalled:,} with too little evidence for a call" * bool(uncalled)
    return f"{counted(statuses.total(), 'contig')} ({by_status or 'none'}), {calls['viral']:,} called viral{doubt}"


def _times(run: Run, directory: Path) -> str:
    seconds = dict.fromkeys(STAGES, 0.0)
    for job in list_jobs(run, directory):
        seconds[job.stage] += float(read_job(directory / job.record).get("seconds", 0))
    total = sum(seconds.values()) or 1.0
    return ", ".join(f"{stage} {seconds[stage]:.1f} s ({100 * seconds[stage] / total:.0f} %)" for stage in STAGES)
