"""`virnucpro fit`: a classifier trained on the features of drawn windows."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from virnucpro_kernels.cli.draw import Frames, Seed
from virnucpro_kernels.cli.embed import Device
from virnucpro_kernels.cli.options import Layout, ModelsDir, training_option

Recipe = Annotated[
    Literal["default", "original"],
    training_option("recipe", "How it is trained: `default`, or `original` as the original tool.", metavar="<name>"),
]


def fit(
    drawn: Annotated[Path, typer.Argument(metavar="DRAWN", help="Folder that `draw` wrote.")],
    pool: Annotated[Path, typer.Option(help="Folder of the pool that was split from it.")],
    encoders: Annotated[str, typer.Option(help="Name of the folder of the features in the pool.")],
    base: Annotated[str, typer.Option(help="Name or folder of the model whose encoders made the features.")],
    window_length: Annotated[int, typer.Option(min=60, help="Length of the drawn windows in bp.")],
    output: Annotated[Path, typer.Option(help="Model directory to write.")],
    checkpoint: Annotated[Path, typer.Option(help="File that training goes on from after an interruption.")],
    frames: Frames,
    recipe: Recipe,
    seed: Seed,
    device: Device,
    layout: Layout = "original",
    models_dir: ModelsDir = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Train a classifier, measure it on val and test, and write the model directory with its card.

    Example: virnucpro fit drawn --pool work/500-original/windows --encoders ENCODERS --base builtin-500
    --window-length 500 --output models/mine --checkpoint mine.checkpoint
    """
    from dataclasses import replace

    from virnucpro_kernels.train.fit import CARD, FitOptions, fit
    from virnucpro_kernels.weights.registry import find_model

    model = fit(
        FitOptions(
            drawn=drawn,
            pool=pool,
            encoders=encoders,
            base=replace(find_model(base, models_dir), window_length=window_length, layout=layout),
            frames=frames,
            recipe=recipe,
            seed=seed,
            output=output,
            checkpoint=checkpoint,
            device=device,
            threads=threads,
        )
    )
    typer.echo(f"made {model.directory}; {model.directory / CARD} has its figures")
