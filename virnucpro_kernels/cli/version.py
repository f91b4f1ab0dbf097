"""The option `--version`, which several commands share."""

import typer

from virnucpro_kernels import __version__


def print_version(wanted: bool) -> None:
    """Print the version and end the command: the callback of `--version`."""
    if wanted:
        typer.echo(f"virnucpro {__version__}")
        raise typer.Exit
