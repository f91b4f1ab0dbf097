"""`virnucpro check`: every problem of input files, nothing run."""

from pathlib import Path
from typing import Annotated

import typer

from virnucpro_kernels.errors import UsageError


def check(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="INPUT", help="FASTA, FASTQ, GenBank or BAM, also compressed; `-` is standard input."),
    ] = None,
    samples: Annotated[Path | None, typer.Option(help="A sample sheet: it and all of its inputs are checked.")] = None,
) -> None:
    """List every problem of the input files. Exit code 0 where they can be used (warnings do not matter), else 5.

    Example: virnucpro check contigs.fa.gz reads.bam
    """
    from virnucpro_kernels.tools.check import check_inputs

    if not check_inputs(inputs or [], samples, typer.echo):
        raise typer.Exit(UsageError.exit_code)
