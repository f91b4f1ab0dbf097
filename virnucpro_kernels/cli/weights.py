"""`virnucpro weights`: list, fetch, import and verify models."""

from pathlib import Path
from typing import Annotated

import typer

from virnucpro_kernels.cli.options import Command, Group, ModelsDir
from virnucpro_kernels.weights.listing import describe_models, describe_new
from virnucpro_kernels.weights.registry import RELEASED
from virnucpro_kernels.weights.site import find_models_dir

app = typer.Typer(
    cls=Group,
    help="List, fetch, import and verify models.\n\nExample: virnucpro weights fetch virnucpro-500",
    no_args_is_help=True,
)


@app.command("list", cls=Command)
def list_models(models_dir: ModelsDir = None) -> None:
    """List the models: name, window length, encoders, state, folder; and say where imported models lie, and why.

    Example: virnucpro weights list
    """
    for line in describe_models(models_dir):
        typer.echo(line)


@app.command("fetch", cls=Command)
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"One of {', '.join(RELEASED)}.")],
    models_dir: ModelsDir = None,
    mirror: Annotated[
        str | None,
        typer.Option(
            "--source", metavar="<url>", help="Address of a mirror, below which the files lie by their names."
        ),
    ] = None,
    keep_downloads: Annotated[bool, typer.Option("--keep-downloads", help="Keep the original files.")] = False,
) -> None:
    """Download the published files of a released model, check them against known checksums, and import them.

    A fetch that was interrupted goes on where it stopped. Proxies are those of HTTPS_PROXY and the like.

    Example: virnucpro weights fetch virnucpro-500 --models-dir /data/models
    """
    from virnucpro_kernels.weights.fetch import fetch_model
    from virnucpro_kernels.weights.published import find_recipe

    folder = find_models_dir(models_dir).path
    model = fetch_model(find_recipe(name), folder, mirror=mirror, keep_downloads=keep_downloads)
    typer.echo("\n".join(describe_new(model, models_dir)))


@app.command("import", cls=Command)
def import_files(
    name: Annotated[str, typer.Option(help="Name of the new model, e.g. virnucpro-500.")],
    window_length: Annotated[int, typer.Option(min=3, help="Window length of the classifier in bp.")],
    protein: Annotated[Path, typer.Option(help="ESM-2: fair-esm's .pt, or a directory in Hugging Face format.")],
    nucleotide: Annotated[Path, typer.Option(help="Directory of DNABERT-S with its tokenizer.json.")],
    classifier: Annotated[Path, typer.Option(help="Checkpoint of the classifier, such as 500_model.pth.")],
    models_dir: ModelsDir = None,
) -> None:
    """Make a model of original files on this machine, after checking them. Nothing in them is run.

    Example: virnucpro weights import --name virnucpro-500 --window-length 500 --protein esm2_t36_3B_UR50D.pt
    --nucleotide DNABERT-S --classifier 500_model.pth
    """
    from virnucpro_kernels.weights.import_model import import_model

    model = import_model(
        name,
        window_length,
        protein=protein,
        nucleotide=nucleotide,
        classifier=classifier,
        models_dir=find_models_dir(models_dir).path,
    )
    typer.echo("\n".join(describe_new(model, models_dir)))


@app.command("verify", cls=Command)
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Names or folders of models; all models by default.")
    ] = None,
    models_dir: ModelsDir = None,
) -> None:
    """Compute the checksum of every file again. Exit code 3 where one is damaged.

    Example: virnucpro weights verify virnucpro-500
    """
    from virnucpro_kernels.weights.load import verify_models

    verify_models(names or [], models_dir, typer.echo)
