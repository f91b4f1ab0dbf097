"""`virnucpro sweep`: the settings of a sweep side by side."""

from pathlib import Path
from typing import Annotated

import typer


def sweep(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Folder with a folder for each setting.")],
    samples: Annotated[list[str], typer.Argument(metavar="SAMPLE", help="Names of the samples.")],
    settings: Annotated[
        str, typer.Option(metavar="<a,b,c>", help="Names of the settings; all are compared with the first.")
    ],
    table: Annotated[Path, typer.Option(help="Table to write: a row for each setting and sample.")],
    figure: Annotated[Path, typer.Option(help="SVG figure to write.")],
) -> None:
    """Compare the settings of a sweep: calls, scores and times.

    Example: virnucpro sweep out/results S1 S2 --settings default,strict --table sweep.tsv --figure sweep.svg
    """
    from virnucpro_kernels.tools.sweep import compare_settings
    from virnucpro_kernels.tools.sweep_figure import draw

    rows = compare_settings(results, samples, settings.split(","), table)
    draw(rows, figure)
    typer.echo(f"{len(rows):,} rows in {table}, figure in {figure}")
