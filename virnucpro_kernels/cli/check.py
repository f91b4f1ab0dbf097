"""`virnucpro check`: every problem of input files, nothing run."""

from pathlib import Path
from typing import Annotated

import typer

from virnucpro_kernels.errors import UsageError


def check(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="INPUT…", help="FASTA, FASTQ, GenBank or BAM, also compressed; `-` is standard input."),
    ] = None,
    samples: Annotated[
        Path | None, typer.Option(metavar="SHEET", help="A sample sheet: it and all of its inputs are checked.")
    ] = None,
) -> None:
    """List every problem of the input files. Exit code 0 where they can be used (warnings do not matter), else 5."""
    import tempfile

    from virnucpro_kernels.run.samples import read_sheet
    from virnucpro_kernels.sequences.checks import inspect
    from virnucpro_kernels.sequences.streams import needs_spooling, spool

    if not inputs and samples is None:
        raise UsageError("nothing to check: name sequence files, or a sheet with `--samples`")
    usable, paths = True, list(inputs or [])
    if samples is not None:
        try:
            paths += [sample.input for sample in read_sheet(samples)]
        except UsageError as error:
            usable = False
            for line in str(error).splitlines():
                typer.echo(f"error: {line}")
    with tempfile.TemporaryDirectory(prefix="virnucpro-check-") as folder:
        for number, path in enumerate(paths):
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
