"""`virnucpro train`: a classifier of one's own by one command."""

from pathlib import Path
from typing import Annotated

import typer

from virnucpro_kernels.cli.options import ModelsDir
from virnucpro_kernels.cli.predict import Cores, Device, Gpus, Precision, Profile, Quiet

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="<key=value>", help="Any key of a training's configuration, as in seed=7; may be repeated."
    ),
]


def train(
    output_dir: Annotated[Path, typer.Option("--output-dir", "-o", help="Folder of the training.")],
    genomes: Annotated[
        Path | None,
        typer.Argument(metavar="GENOMES_TSV", help="Table of genomes; without it, that of the folder's configuration."),
    ] = None,
    base: Annotated[str | None, typer.Option(help="Name or folder of the model whose encoders are used.")] = None,
    models_dir: ModelsDir = None,
    name: Annotated[str | None, typer.Option(help="Name of the new model, in OUTPUT_DIR/models.")] = None,
    frames: Annotated[
        str | None, typer.Option(metavar="<all|cds>", help="All stop-free frames, or those in coding sequences.")
    ] = None,
    recipe: Annotated[str | None, typer.Option(metavar="<default|original>", help="How it is trained.")] = None,
    windows: Annotated[int | None, typer.Option(help="Windows of each class to train on.")] = None,
    config: Annotated[Path | None, typer.Option(help="Configuration file to start from; options win over it.")] = None,
    settings: Settings = None,
    device: Device = None,
    gpus: Gpus = "auto",
    threads: Cores = None,
    precision: Precision = None,
    profile: Profile = None,
    quiet: Quiet = False,
) -> None:
    """Train a classifier on genomes with the encoders of a model, or go on with a training that was stopped.

    Example: virnucpro train genomes.tsv --base virnucpro-500 --name mine-500 --output-dir training
    """
    from virnucpro_kernels.run.config import read_config
    from virnucpro_kernels.run.folder import merge_settings
    from virnucpro_kernels.run.options import PredictOptions
    from virnucpro_kernels.run.train import CONFIG, train
    from virnucpro_kernels.weights.site import command_line

    named = {
        "genomes": genomes,
        "base": base,
        "models_dir": models_dir,
        "name": name,
        "frames": frames,
        "recipe": recipe,
        "windows": windows,
        "device": device,
        "precision": precision,
    }
    options = PredictOptions(
        directory=output_dir,
        config=config,
        settings=merge_settings(settings or [], named),
        gpus=gpus,
        threads=threads,
        profile=profile,
        quiet=quiet,
    )
    model, lost_calibration = train(options)
    directory = model.directory
    typer.echo(f"model: {directory}\ncard: {directory / 'model_card.md'}")
    typer.echo(f"use it: virnucpro predict contigs.fa.gz --output-dir out --model {directory}")
    if model.calibration:
        return
    written = read_config(output_dir / CONFIG)
    # The seed has the groups of a table without splits on the sides on which they were.
    words = ("calibrate", str(directory), "--genomes", written["genomes"], "--seed", str(written["seed"]))
    command = command_line(*words, "--output-dir", "calibration", models_dir=None)
    if lost_calibration:
        typer.echo("its earlier calibration went with its earlier weights")
    typer.echo(f"its scores rank contigs, but are no probabilities, until {command}")
