"""`virnucpro init`: the configuration and the sample sheet of a new run."""

from pathlib import Path
from typing import Annotated

import typer


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the run.")],
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT", help="Sequence files, one for each sample.")],
    model: Annotated[str | None, typer.Option(help="Name or folder of a model.")] = None,
) -> None:
    """Write the configuration and the sample sheet of a run into DIR/config, for Snakemake or `virnucpro predict`.

    Example: virnucpro init run1 a.fa.gz b.fa.gz --model compact-500
    """
    import shlex

    from virnucpro_kernels.errors import UsageError
    from virnucpro_kernels.run.folder import CONFIG, SHEET, plan_folder
    from virnucpro_kernels.run.installation import workflow_root

    for path in (CONFIG, SHEET):
        if (directory / path).exists():
            raise UsageError(f"{directory / path} is there already; edit it, or choose another folder")
    plan_folder(directory, inputs, None, None, {"model": model} if model else {}).write()
    snakemake = ["snakemake", "--snakefile", str(workflow_root() / "Snakefile"), "--directory", str(directory)]
    typer.echo(f"wrote {directory / CONFIG} and {directory / SHEET}; look them over, then start with")
    typer.echo(f"  {shlex.join(['virnucpro', 'predict', '--output-dir', str(directory)])}")
    typer.echo(f"or {shlex.join([*snakemake, '--cores', 'all'])}")
