"""`virnucpro plot`: the scores along chosen contigs as pictures."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def plot(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run, or of its results.")],
    contigs: Annotated[list[str], typer.Argument(metavar="CONTIG", help="Names of contigs.")],
    sample: Annotated[
        list[str] | None,
        typer.Option(help="Sample in which to look for them; may be given several times. All samples by default."),
    ] = None,
    output_dir: Annotated[Path, typer.Option("--output-dir", "-o", help="Folder for the pictures.")] = Path(),
    format: Annotated[  # noqa: A002 the name of the option
        Literal["svg", "png"], typer.Option(metavar="<svg|png>", help="Format of the pictures.")
    ] = "svg",
) -> None:
    """Draw the track of each contig: its viral regions, the scores of its windows, and their open frames.

    Example: virnucpro plot out NODE_12 NODE_40 --format png
    """
    from virnucpro_kernels.report.plot import plot_tracks

    for path in plot_tracks(directory, contigs, samples=sample or [], output_dir=output_dir, suffix=format):
        typer.echo(path)
