"""`virnucpro verify`: opens and checks every file of a run."""

from pathlib import Path
from typing import Annotated

import typer

from virnucpro_kernels.errors import DamagedFileError


def verify(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run (it holds work/ and results/).")],
    quick: Annotated[bool, typer.Option("--quick", help="Check existence and sizes only.")] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove damaged files, so that the next start makes them again.")
    ] = False,
) -> None:
    """List the damaged files of a run. Exit code 0 where there are none, else 3.

    Example: virnucpro verify out
    """
    from virnucpro_kernels.tools.verify import verify_run

    if not verify_run(directory, quick=quick, remove=remove, say=typer.echo):
        raise typer.Exit(DamagedFileError.exit_code)
