"""`virnucpro predict`: the whole workflow for people who do not know Snakemake."""

import errno
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from virnucpro_kernels.errors import VirnucproError
from virnucpro_kernels.pool.file_names import MANIFEST
from virnucpro_kernels.pool.unusable import forget_split_of_repaired
from virnucpro_kernels.run.leftovers import remove_all_leftovers
from virnucpro_kernels.run.locks import lock_path, refuse_snakemake, run_lock
from virnucpro_kernels.run.mend import mend_files, mend_snakemake
from virnucpro_kernels.run.options import PredictOptions
from virnucpro_kernels.run.session import Session, full_disk
from virnucpro_kernels.run.start import Start, plan_start
from virnucpro_kernels.run.summary_table import write_summary


def predict(options: PredictOptions) -> int:
    """Run the workflow; return the exit code. A folder that is new stays only where Snakemake worked in it or failed.

    Raises:
        VirnucproError: nothing was started: wrong usage, a damaged model, another run in the same folder.
        InterruptedRunError: Ctrl-C or a signal came; no job runs any more.
    """
    is_new = not options.directory.exists()
    with _full_disk_told(options.directory), run_lock(options.directory) as lock:
        mended = [] if is_new else _mend(options)
        try:
            start = plan_start(options)
            start.log.parent.mkdir(parents=True, exist_ok=True)
            start.log.open("ab").close()
        except (VirnucproError, OSError):
            if is_new:
                _remove_if_empty(options.directory)
            raise
        with start.log.open("a", encoding="utf-8") as log:
            log.writelines(f"{line}\n" for line in mended)
        code = _execute(start, lock)
        if code == 0 and not options.dry_run:
            remove_all_leftovers(start.run, options.directory)
            write_summary(start.run, options.directory)
    if is_new and options.dry_run and code == 0:
        shutil.rmtree(options.directory)
    return code


def _execute(start: Start, lock: int) -> int:
    """Run Snakemake in the folder of a run, which stays as it was after a dry run; return the exit code."""
    with ExitStack() as exits:
        if start.options.dry_run:
            exits.enter_context(start.folder.written_for_now())
        else:
            start.folder.write()
            _split_repaired_again(start)
        return Session(start, lock).execute()


@contextmanager
def _full_disk_told(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise VirnucproError(full_disk(directory)) from error
        raise


def _mend(options: PredictOptions) -> list[str]:
    """Set aside what is damaged in the folder of a run, unless nothing is to change; return what was said about it."""
    refuse_snakemake(options.directory)
    if options.dry_run:
        return []
    said: list[str] = []

    def say(line: str) -> None:
        print(line, file=sys.stderr)  # noqa: T201 news for the user, before there is a log
        said.append(line)

    mend_files(options.directory, say)
    mend_snakemake(options.directory, say)
    return said


def _remove_if_empty(directory: Path) -> None:
    """Remove the folder of a run that was not started, unless it holds more than the lock, such as standard input."""
    lock_path(directory).unlink(missing_ok=True)
    with suppress(OSError):
        lock_path(directory).parent.rmdir()
        directory.rmdir()


def _split_repaired_again(start: Start) -> None:
    """Have those pools split again in which a file could not be used and has changed since."""
    for run in start.run.embeddings:
        for pool, samples in run.pools.items():
            manifest = start.options.directory / run.split_dir(pool) / MANIFEST
            forget_split_of_repaired(manifest, {sample.name: sample.inputs for sample in samples})
