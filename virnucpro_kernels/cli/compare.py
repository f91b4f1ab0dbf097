"""`virnucpro compare`: two results side by side."""

from pathlib import Path
from typing import Annotated

import typer


def compare(
    a: Annotated[
        Path, typer.Argument(metavar="A", help="Folder of results, result table, or file of vectors (.pt, .h5).")
    ],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another of the same kind.")],
    tolerance: Annotated[
        float, typer.Option(min=0, help="Largest difference of scores, or of values of vectors, that counts as equal.")
    ] = 1e-5,
    mismatches: Annotated[Path | None, typer.Option(help="Table to write: every row that differs.")] = None,
) -> None:
    """Compare two results by ID: labels, scores or vectors, and what only one of them has.

    Exit code 0: equal within the tolerance; 1: different; 3: not comparable.

    Example: virnucpro compare out/results/S1 other/results/S1
    """
    from virnucpro_kernels.tools.compare import compare_results

    if not compare_results(a, b, tolerance, mismatches, typer.echo):
        raise typer.Exit(1)
