"""`virnucpro import`: a finished run of the original tool becomes a run of ours, its embeddings kept."""

from pathlib import Path
from typing import Annotated

import typer

from virnucpro_kernels.cli.options import ModelsDir


def import_(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Folder with …_nucleotide, …_protein and the other files of the original."),
    ],
    output_dir: Annotated[Path, typer.Option(help="Folder of the run that goes on.")],
    model: Annotated[
        str | None, typer.Option(help="Name or folder of the model that will score; by default the released one.")
    ] = None,
    models_dir: ModelsDir = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="<name=file>",
            help="Input of a run, where it does not lie in DIR; may be given several times.",
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Processes that split the input.")] = 1,
) -> None:
    """Take over the embeddings of every finished run in DIR; `virnucpro predict` goes on from there.

    Example: virnucpro import old_run --output-dir out --model virnucpro-500
    """
    from virnucpro_kernels.tools.import_original import import_runs

    import_runs(directory, output_dir, model, models_dir, inputs or [], threads=threads, say=typer.echo)
