"""What comes before a start, and after a failure: damaged files are set aside, so that they are made again.

Whatever is damaged stays in its folder as `NAME.damaged`. Only whole files that depend on it are removed.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from virnucpro_kernels.errors import DamagedFileError, VirnucproError
from virnucpro_kernels.pool.file_names import RESULTS, WORK
from virnucpro_kernels.run.checksums import Checksums
from virnucpro_kernels.run.damage import MISSING, Checked, Depth, check_pool, check_run, check_tables
from virnucpro_kernels.run.failures import find_failures
from virnucpro_kernels.run.run import Run

_KNOWN = WORK / ".checked.json"
#: Exit codes of jobs that have read a damaged file: as they say, or by an error that nobody foresaw.
_MAYBE_DAMAGE = {str(DamagedFileError.exit_code), str(VirnucproError.exit_code), ""}
#: Entries of Snakemake's metadata of an output; it ends with a traceback where one has another type.
_ENTRIES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("input", "log", "params"), list),
    **dict.fromkeys(("rule", "shellcmd", "code", "conda_env", "container_img_url", "external_jobid"), str),
    **dict.fromkeys(("starttime", "endtime"), (int, float)),
    "record_format_version": int,
    "job_hash": int,
    "incomplete": bool,
    "input_checksums": dict,
}


def mend_files(directory: Path, say: Callable[[str], object]) -> None:
    """Set the damaged files of a run aside, with one sentence each, and put times right. Nothing may work in the run.

    Args:
        directory: Folder of the run.
        say: Function that prints a line.
    """
    checksums = Checksums(directory / _KNOWN)
    _mend(check_run(directory, Depth.CHECKSUMS, checksums), say)
    checksums.save()
    _leave_the_future(directory)


def mend_after_failures(run: Run, directory: Path, since: float) -> None:
    """Read all files of the pools of a run that has just failed, where a damaged one may be why, and mend them.

    Args:
        run: The run.
        directory: Folder of the run.
        since: Time of the start of the run, in seconds since the epoch.
    """
    failures = find_failures(run, directory, since)
    failed = {failure.sample for failure in failures if failure.attempts and failure.exit_code in _MAYBE_DAMAGE}
    pools = {
        one.split_dir(pool)
        for one in run.settings
        for pool, samples in one.pools.items()
        if any(one.result_name(sample.name) in failed for sample in samples)
    }
    for pool in sorted(pools):
        _mend(check_pool(directory / pool), _say)


def mend_pool(folder: Path, say: Callable[[str], object]) -> None:
    """Read all files in the folder of a pool, and set damaged ones aside, with one sentence each."""
    _mend(check_pool(folder), say)


def mend_tables(directory: Path) -> None:
    """Set aside the damaged ones of those tables without which Snakemake cannot plan a run."""
    _mend(check_tables(directory), _say)


def _say(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201 among Snakemake's output


def _mend(files: Iterable[Checked], say: Callable[[str], object]) -> None:
    """Set aside those of the files that are damaged, and remove what depends on them."""
    for checked in [checked for checked in files if checked.problem]:
        if checked.problem == MISSING:
            say(f"{checked.path}: {checked.problem}, and is made again")
        elif checked.path.exists():
            aside = set_aside(checked.path).name
            say(f"{checked.path}: {checked.problem}; it is now {aside}, and is made again where it is needed")
        for path in checked.remedy:
            path.unlink(missing_ok=True)


def mend_snakemake(directory: Path, say: Callable[[str], object]) -> None:
    """Remove the locks of a killed Snakemake, and set aside what it could not read of its own records.

    A job that was not finished stays marked as such. Nothing may work in the run.
    """
    state = directory / ".snakemake"
    if (state / "locks").exists():
        shutil.rmtree(state / "locks")
    for kind, content in (("metadata", None), ("incomplete", {"external_jobid": None})):
        for path in _files(state / kind):
            if not _is_metadata(path):
                moved = set_aside(path, state / "damaged")
                say(f"{path}: Snakemake cannot read it; it is now {moved}")
                if content:
                    path.write_text(json.dumps(content))


def set_aside(path: Path, folder: Path | None = None) -> Path:
    """Rename a damaged file to `NAME.damaged`, `NAME.damaged.2`, …, in its folder or another one; return its path."""
    folder = folder or path.parent
    folder.mkdir(exist_ok=True)
    target, number = folder / f"{path.name}.damaged", 1
    while target.exists():
        number += 1
        target = folder / f"{path.name}.damaged.{number}"
    return path.rename(target)


def _is_metadata(path: Path) -> bool:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return isinstance(content, dict) and all(
        value is None or isinstance(value, _ENTRIES.get(name, object)) for name, value in content.items()
    )


def _leave_the_future(directory: Path) -> None:
    """Give files of a run whose time is still to come the present one: Snakemake fails each job that reads one.

    They come from a clock that was wrong.
    """
    now = time.time_ns()
    for folder in (directory / WORK, *directory.glob(f"{RESULTS}*")):
        for path in _files(folder):
            if path.stat().st_mtime_ns > now:
                os.utime(path, ns=(now, now))


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path
