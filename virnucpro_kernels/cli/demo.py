"""`virnucpro demo`: the whole workflow on the sequences that come with the package."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    output_dir: Annotated[
        Path, typer.Option("--output-dir", "-o", help="Folder of the demonstration; everything goes there.")
    ] = Path("demo"),
) -> None:
    """Try the workflow on 350 kbp of real sequence with a built-in model; needs no GPU and no download.

    Example: virnucpro demo --output-dir demo
    """
    from virnucpro_kernels.tools.demo import run_demo

    if code := run_demo(output_dir):
        raise typer.Exit(code)
