"""`virnucpro weights`: list, fetch, import and verify models."""

from pathlib import Path
from typing import Annotated

import typer

from virnucpro_kernels.cli.options import Command, Group, ModelsDir
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.weights.listing import describe_models, describe_new
from virnucpro_kernels.weights.registry import RELEASED, find_model
from virnucpro_kernels.weights.site import find_models_dir

Device = Annotated[str, typer.Option(help="auto (a GPU where there is one), cpu or cuda.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads.")]

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
    against_original: Annotated[
        bool,
        typer.Option(
            "--against-original",
            help="Also compute the original tool's published vectors and scores again, and compare (four frames,"
            " downloaded). Exit code 3 where they differ by more than rounding.",
        ),
    ] = False,
    golden: Annotated[
        Path | None,
        typer.Option(help="Folder with the original's published files, for machines without a network.", exists=True),
    ] = None,
    canaries: Annotated[
        bool,
        typer.Option(
            "--canaries",
            help="Also compute in fp32 on the CPU, and keep with the model, the vectors with which embedding jobs"
            " compare those of their device.",
        ),
    ] = False,
    device: Device = "auto",
    precision: Annotated[str, typer.Option(help="Precision in which the original's are computed.")] = "auto",
    threads: Threads = 4,
) -> None:
    """Compute the checksum of every file again. Exit code 3 where one is damaged.

    Example: virnucpro weights verify virnucpro-500 --against-original
    """
    from virnucpro_kernels.weights.load import verify_models

    if golden is not None and not against_original:
        raise UsageError("--golden is for --against-original")
    if (against_original or canaries) and len(names or []) != 1:
        raise UsageError("--against-original and --canaries are for one model; name it")
    verify_models(names or [], models_dir, typer.echo, canaries=not canaries)  # those to be made anew may be damaged
    if canaries and names:
        from virnucpro_kernels.tools.canary_values import keep_canary_values

        model = find_model(names[0], models_dir)
        keep_canary_values(model, threads)
        typer.echo(f"kept the vectors of the canaries in {model.directory}")
    if against_original and names:
        from virnucpro_kernels.tools.against_original import verify_against_original

        model = find_model(names[0], models_dir)
        verify_against_original(model, golden, typer.echo, device=device, precision=precision, threads=threads)


@app.command("compare-precisions", cls=Command)
def compare_precisions(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name or folder of the model.")],
    sequences: Annotated[
        Path | None,
        typer.Option(help="Sequence file whose frames are taken; the bundled sequences by default.", exists=True),
    ] = None,
    frames: Annotated[int, typer.Option(min=2, help="Largest number of frames, taken evenly from all.")] = 300,
    device: Device = "auto",
    threads: Threads = 4,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the result with the model; run.json of later runs shows it.")
    ] = False,
    models_dir: ModelsDir = None,
) -> None:
    """Measure what each precision of this machine costs and gives: speed, cosines, differences of scores, labels.

    Example: virnucpro weights compare-precisions virnucpro-500 --keep
    """
    from virnucpro_kernels.tools.precisions import compare_precisions

    compare_precisions(
        find_model(name, models_dir), sequences, typer.echo, device=device, frames=frames, threads=threads, keep=keep
    )
