"""`virnucpro doctor`: whether this installation can work here."""

from pathlib import Path
from typing import Annotated

import typer

from virnucpro_kernels.cli.options import ModelsDir


def doctor(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder in which a run is to lie.", file_okay=False)
    ] = Path(),
    model: Annotated[str, typer.Option(help="Name or folder of the model to be used; all imported ones else.")] = "",
    models_dir: ModelsDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON, for reports of bugs.")] = False,
) -> None:
    """Say what is installed and found here, and what to do where a run would fail. Exit code 1 where one would.

    Example: virnucpro doctor --model virnucpro-500
    """
    from virnucpro_kernels.tools.doctor import Subject, report

    there = next(folder for folder in (directory.absolute(), *directory.absolute().parents) if folder.is_dir())
    if not report(Subject(there, model, models_dir), typer.echo, as_json=as_json):
        raise typer.Exit(1)
