"""`virnucpro verify`: opens and checks every file of a run."""

from pathlib import Path
from typing import Annotated

import typer

from virnucpro_kernels.errors import DamagedFileError, UsageError


def verify(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run (it holds work/ and results/).")],
    quick: Annotated[bool, typer.Option("--quick", help="Existence and sizes only.")] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove what is damaged; the next start makes it again.")
    ] = False,
) -> None:
    """List the damaged files of a run. Exit code 0 where there are none, else 3."""
    from virnucpro_kernels.tools.verify import check_run, remove_damaged

    if not (directory / "work").is_dir() and not (directory / "results").is_dir():
        raise UsageError(f"{directory}: not the folder of a run; it has neither work/ nor results/")
    files = set()
    damaged = []
    for checked in check_run(directory, quick=quick):
        files.add(checked.path)
        if checked.problem:
            damaged.append(checked)
            typer.echo(f"{checked.path}: {checked.problem}")
    typer.echo(f"{len(files):,} files checked, {len({checked.path for checked in damaged}):,} damaged")
    if not damaged:
        return
    if remove:
        for path in remove_damaged(damaged):
            typer.echo(f"removed {path}")
        typer.echo("start the run again to make them anew")
    raise typer.Exit(DamagedFileError.exit_code)
