"""`virnucpro doctor`: whether this installation can work here."""

import typer

from virnucpro_kernels.cli.options import ModelsDir


def doctor(models_dir: ModelsDir = None) -> None:
    """Say what is installed and found here, and what to do where a run would fail. Exit code 1 where one would.

    Example: virnucpro doctor --models-dir /data/models
    """
    from virnucpro_kernels.tools.doctor import report

    if not report(models_dir, typer.echo):
        raise typer.Exit(1)
