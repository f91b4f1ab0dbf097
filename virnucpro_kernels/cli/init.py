"""`virnucpro init`: the configuration and the sample sheet of a new run."""

from pathlib import Path
from typing import Annotated

import typer


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the run.")],
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT…", help="Sequence files, one for each sample.")],
    model: Annotated[str | None, typer.Option(help="Name or folder of a model.")] = None,
) -> None:
    """Write the configuration and the sample sheet of a run into DIR/config, for Snakemake or `virnucpro predict`."""
    from virnucpro_kernels.errors import UsageError
    from virnucpro_kernels.run.folder import CONFIG, SHEET, plan_folder
    from virnucpro_kernels.run.installation import workflow_root

    for path in (CONFIG, SHEET):
        if (directory / path).exists():
            raise UsageError(f"{directory / path} is there already; edit it, or choose another folder")
    plan_folder(directory, inputs, None, None, {"model": model} if model else {}).write()
    typer.echo(f"wrote {directory / CONFIG} and {directory / SHEET}; look them over, then start with")
    typer.echo(f"  virnucpro predict --output-dir {directory}")
    typer.echo(f"or snakemake --snakefile {workflow_root() / 'Snakefile'} --directory {directory} --cores all")
