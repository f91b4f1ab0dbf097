"""What killed jobs left of a run that has ended well: hidden temporary files, and progress inside finished chunks."""

import re
import shutil
from pathlib import Path

from virnucpro_kernels.files import is_locked
from virnucpro_kernels.pool.file_names import RESULTS, WORK
from virnucpro_kernels.run.run import Run

#: Name of a temporary file of `files.atomic_path`, with the number of its process.
_TEMPORARY = re.compile(r"\.\d+\..+")


def remove_all_leftovers(run: Run, directory: Path) -> None:
    """Remove the leftovers of killed jobs. No job of the run may be at work; an orphan that is fails at its end.

    Args:
        run: The run.
        directory: Folder of the run.
    """
    for setting in run.settings:
        _remove_of_setting(setting, directory)


def _remove_of_setting(run: Run, directory: Path) -> None:
    """Remove the leftovers of one setting, or of a run that is no sweep."""
    shared = ((directory / folder).glob(".*") for folder in (WORK, RESULTS, run.results_root, run.results))
    pools = ((directory / run.split_dir(pool)).rglob(".*") for pool in run.pools)
    samples = ((directory / run.results / sample.name).rglob(".*") for sample in run.samples)
    for path in [path for paths in (*shared, *pools, *samples) for path in paths]:
        if _TEMPORARY.fullmatch(path.name):
            _remove(path)
    for pool in run.pools:
        scores = directory / run.score_dir(pool)
        for partial in (directory / run.embedding_dir(pool)).glob("*.partial"):
            if scores.joinpath(f"{partial.stem}.parquet").exists() and not is_locked(partial / "lock"):
                _remove(partial)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
