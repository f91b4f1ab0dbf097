"""`virnucpro check`: every problem of input files, nothing run."""

from pathlib import Path
from typing import Annotated

import typer

from virnucpro_kernels.errors import UsageError


def check(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT…", help="FASTA, FASTQ, GenBank or BAM, also compressed; `-` is standard input."),
    ],
) -> None:
    """List every problem of the input files. Exit code 0 where they can be used (warnings do not matter), else 5."""
    import tempfile

    from virnucpro_kernels.checks import inspect
    from virnucpro_kernels.streams import needs_spooling, spool

    usable = True
    with tempfile.TemporaryDirectory(prefix="virnucpro-check-") as folder:
        for number, path in enumerate(inputs):
            name, file = ("standard input" if str(path) == "-" else str(path)), path
            if needs_spooling(path):
                file = Path(folder) / str(number)
                spool(path, file)
            report = inspect(file, name)
            usable = usable and not report.errors
            for line in report.lines():
                typer.echo(line)
    if not usable:
        raise typer.Exit(UsageError.exit_code)
