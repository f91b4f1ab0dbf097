"""`virnucpro weights`: list, fetch, import and verify models."""

from pathlib import Path
from typing import Annotated

import typer

from virnucpro_kernels.errors import DamagedFileError, UsageError
from virnucpro_kernels.weights.registry import (
    RELEASED,
    FileInfo,
    Model,
    default_models_dir,
    find_directory,
    model_directories,
    read_model,
)

app = typer.Typer(help="List, fetch, import and verify models.", no_args_is_help=True)
ModelsDir = Annotated[
    Path | None,
    typer.Option(help="Folder of imported models.", show_default=str(default_models_dir()), file_okay=False),
]


@app.command("list")
def list_models(models_dir: ModelsDir = None) -> None:
    """List the models: name, window length, encoders, state, folder."""
    rows: list[tuple[str, ...]] = [("MODEL", "WINDOW", "NUCLEOTIDE", "PROTEIN", "STATE", "DIRECTORY")]
    directories = model_directories(models_dir)
    rows += [_row(directory) for directory in directories]
    there = {directory.name for directory in directories}
    rows += [
        (name, "", "", "", "not here", f"virnucpro weights fetch {name}") for name in RELEASED if name not in there
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _row(directory: Path) -> tuple[str, ...]:
    try:
        model = read_model(directory)
    except DamagedFileError as error:
        return directory.name, "", "", "", f"damaged: {error}", str(directory)
    state = "; ".join(model.damage()) or "complete"
    window = f"{model.window_length} bp"
    return model.name, window, model.nucleotide.name, model.protein.name, state, str(directory)


@app.command("fetch")
def fetch(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(RELEASED)}.")],
    models_dir: ModelsDir = None,
    keep_downloads: Annotated[bool, typer.Option("--keep-downloads", help="Keep the original files.")] = False,
) -> None:
    """Download the published files of a released model, check them against known checksums, and import them."""
    from virnucpro_kernels.weights.fetch import fetch_model
    from virnucpro_kernels.weights.published import RECIPES

    recipe = next((recipe for recipe in RECIPES if recipe.name == name), None)
    if recipe is None:
        raise UsageError(f"{name!r} is no released model; released are {', '.join(RELEASED)}")
    _show(fetch_model(recipe, models_dir or default_models_dir(), keep_downloads=keep_downloads))


@app.command("import")
def import_files(
    name: Annotated[str, typer.Option(help="Name of the new model, e.g. virnucpro-500.")],
    window_length: Annotated[int, typer.Option(min=3, help="Window length of the classifier in bp.")],
    protein: Annotated[Path, typer.Option(help="ESM-2: fair-esm's .pt, or a directory in Hugging Face format.")],
    nucleotide: Annotated[Path, typer.Option(help="Directory of DNABERT-S with its tokenizer.json.")],
    classifier: Annotated[Path, typer.Option(help="Checkpoint of the classifier, such as 500_model.pth.")],
    models_dir: ModelsDir = None,
) -> None:
    """Make a model of original files on this machine, after checking them. Nothing in them is run."""
    from virnucpro_kernels.weights.import_model import import_model

    _show(
        import_model(
            name,
            window_length,
            protein=protein,
            nucleotide=nucleotide,
            classifier=classifier,
            models_dir=models_dir or default_models_dir(),
        )
    )


def _show(model: Model) -> None:
    typer.echo(f"made {model.directory} for windows of {model.window_length} bp")
    parts: dict[str, tuple[FileInfo, str]] = {
        "nucleotide": (model.nucleotide, f"{model.nucleotide.name}, {model.nucleotide.dimension} wide"),
        "tokenizer": (model.tokenizer, ""),
        "protein": (model.protein, f"{model.protein.name}, {model.protein.dimension} wide"),
        "classifier": (model.classifier, f"takes {model.classifier.dimension} features"),
    }
    for part, (info, what) in parts.items():
        size = f"{info.bytes / 1e6:,.1f} MB"
        typer.echo(f"  {part:<10}  {size:>12}  sha256 {info.sha256[:12]}…  {what:<22}  from: {info.source}")
    typer.echo(f"  checked: {model.notes}\nuse it with --model {model.name}")


@app.command("verify")
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names or folders of models; all models by default.")
    ] = None,
    models_dir: ModelsDir = None,
) -> None:
    """Compute the checksum of every file again. Exit code 3 where one is damaged."""
    from virnucpro_kernels.weights.load import verify as find_problems

    directories = [find_directory(name, models_dir) for name in names] if names else model_directories(models_dir)
    problems: list[str] = []
    for directory in directories:
        try:
            found = find_problems(read_model(directory))
        except DamagedFileError as error:
            found = [str(error)]
        typer.echo(f"{directory}: {'damaged' if found else 'complete, all checksums right'}")
        problems += found
    if problems:
        raise DamagedFileError("\n".join(problems))
