"""`virnucpro import`: a finished run of the original tool becomes a run of ours, its embeddings kept."""

from pathlib import Path
from typing import Annotated

import typer


def import_(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where the original left …_nucleotide, …_protein and the other files.")
    ],
    output_dir: Annotated[Path, typer.Option(help="Folder of the run that takes over.")],
    model: Annotated[
        str | None, typer.Option(help="Name or directory of the model that will score; the released one unless given.")
    ] = None,
    models_dir: Annotated[Path | None, typer.Option(help="Where imported models lie.")] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=FILE", help="The input of a run, where it does not lie in DIR."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Processes that split the input.")] = 1,
) -> None:
    """Take over the embeddings of every finished run in DIR; `virnucpro predict` goes on from there."""
    from virnucpro_kernels.errors import UsageError
    from virnucpro_kernels.tools.import_original import configure, find_runs, import_run
    from virnucpro_kernels.weights.registry import find_model

    named = dict(argument.partition("=")[::2] for argument in inputs or [])
    for name, path in named.items():
        if not path or not Path(path).is_file():
            raise UsageError(f"--input {name}={path}: must be NAME=FILE, and the file must be there")
    found = find_model(model, models_dir)
    imported = []
    for run in find_runs(directory, {name: Path(path) for name, path in named.items()}):
        imported.append(import_run(run, output_dir, found, threads=threads))
        typer.echo(f"{run.name}: {imported[-1].frames:,} frames in {imported[-1].embeddings}")
    configure(output_dir, imported, model, models_dir)
    typer.echo(f"go on with: virnucpro predict --output-dir {output_dir}")
