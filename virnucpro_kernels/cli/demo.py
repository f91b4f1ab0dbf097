"""`virnucpro demo`: the whole workflow on the sequences that come with the package."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    output_dir: Annotated[
        Path, typer.Option("--output-dir", "-o", help="Folder of the demonstration; everything goes there.")
    ] = Path("demo"),
) -> None:
    """Try the workflow on 350 kbp of real sequence with a built-in model; needs no GPU and no download."""
    from virnucpro_kernels.cli.predict import predict
    from virnucpro_kernels.errors import UsageError
    from virnucpro_kernels.run.folder import SHEET
    from virnucpro_kernels.run.installation import demonstration
    from virnucpro_kernels.run.samples import read_sheet

    sheet = output_dir / SHEET
    if output_dir.is_dir() and any(output_dir.iterdir()):
        there = [sample.input.resolve() for sample in read_sheet(sheet)] if sheet.exists() else []
        if there != [demonstration().resolve()]:
            raise UsageError(
                f"{output_dir}: holds something else than the demonstration; choose another folder with --output-dir"
            )
    predict(output_dir, [demonstration()], model="builtin-500")
