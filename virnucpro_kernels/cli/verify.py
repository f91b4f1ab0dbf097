"""`virnucpro verify`: opens and checks every file of a run."""

from pathlib import Path
from typing import Annotated

import typer

from virnucpro_kernels.errors import DamagedFileError


def verify(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run (it holds work/ and results/).")],
    quick: Annotated[bool, typer.Option("--quick", help="Existence and sizes only.")] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove what is damaged; the next start makes it again.")
    ] = False,
) -> None:
    """List the damaged files of a run. Exit code 0 where there are none, else 3."""
    from virnucpro_kernels.tools.verify import verify_run

    if not verify_run(directory, quick=quick, remove=remove, say=typer.echo):
        raise typer.Exit(DamagedFileError.exit_code)
