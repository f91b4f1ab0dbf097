"""`virnucpro report`: the results of a run as one page."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run, or of its results.")],
    samples: Annotated[
        list[str] | None, typer.Argument(metavar="SAMPLE", help="Samples to report; all that are complete by default.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="HTML file; report.html beside the samples by default.")
    ] = None,
    figures: Annotated[Path | None, typer.Option(help="Folder for the figures as SVG; none by default.")] = None,
    multiqc: Annotated[
        Path | None, typer.Option(help="Folder for tables that any MultiQC shows; none by default.")
    ] = None,
) -> None:
    """Write a report: calls, scores, contigs with their tracks, methods and provenance, in one HTML file.

    Example: virnucpro report out
    """
    from virnucpro_kernels.report.report import write_report

    typer.echo(f"report: {write_report(directory, samples or [], output, figures, multiqc)}")
