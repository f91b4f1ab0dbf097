"""`virnucpro export`: results of a finished run in the forms that other tools read."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from virnucpro_kernels.cli.options import FinishedRun


def export(
    directory: FinishedRun,
    to: Annotated[
        Literal["fasta", "anvio", "kraken", "biom", "xlsx"],
        typer.Option(
            metavar="<form>",
            help="fasta: viral contigs under clean names and a table of the names, for CheckV, geNomad and others;"
            " anvio: a contig-classification-txt for each sample; kraken: a report for each sample; biom: counts of all"
            " samples; xlsx: contigs and regions for spreadsheets.",
        ),
    ],
    output: Annotated[Path, typer.Option(help="Folder for the files.", file_okay=False)],
) -> None:
    """Write the results of a finished run for another tool; nothing is computed again.

    Example: virnucpro export out --to fasta --output for-checkv
    """
    from virnucpro_kernels.tools.export import export as export_results

    for path in export_results(directory, to, output):
        typer.echo(path)
