"""Opens and checks every file of a run, and removes what is damaged so that the next start makes it again."""

from collections.abc import Callable
from pathlib import Path

from virnucpro_kernels.errors import UsageError, VirnucproError
from virnucpro_kernels.pool import file_names
from virnucpro_kernels.run.damage import MISSING, Depth, check_run
from virnucpro_kernels.run.locks import who_works_in


def verify_run(directory: Path, *, quick: bool, remove: bool, say: Callable[[str], object]) -> bool:
    """Print the damaged files of a run, and remove them if wanted; return whether there are none.

    Args:
        directory: Folder of the run.
        quick: Whether to look at existence and sizes only.
        remove: Whether to remove what stands in the way of making the damaged files again.
        say: Function that prints a line.

    While a run goes on, files come and go: none is called missing, and none is removed.

    Raises:
        UsageError: `directory` is not the folder of a run.
        VirnucproError: `remove` is asked for while a run goes on.
    """
    if not (directory / file_names.WORK).is_dir() and not (directory / file_names.RESULTS).is_dir():
        raise UsageError(f"{directory}: not the folder of a run; it has neither work/ nor results/")
    if at_work := who_works_in(directory):
        if remove:
            raise VirnucproError(f"{at_work}, before `verify --remove` may remove anything")
        say(f"{at_work} to verify the whole run; files that are not there yet are not called missing")
    files: set[Path] = set()
    damaged = []
    for checked in check_run(directory, Depth.SIZES if quick else Depth.ALL):
        if at_work and checked.problem == MISSING:
            continue
        files.add(checked.path)
        if checked.problem:
            damaged.append(checked)
            say(f"{checked.path}: {checked.problem}")
    say(f"{len(files):,} files checked, {len({checked.path for checked in damaged}):,} damaged")
    if damaged and remove:
        for path in sorted({path for checked in damaged for path in checked.remedy}):
            if path.exists():
                path.unlink()
                say(f"removed {path}")
        say("start the run again to make them anew")
    return not damaged
