"""`virnucpro calibrate`: what makes probabilities of a model's scores."""

from pathlib import Path
from typing import Annotated

import typer

from virnucpro_kernels.cli.options import Model, ModelsDir


def calibrate(
    results: Annotated[
        list[Path],
        typer.Argument(metavar="RESULTS", help="Folder of a run, or of the results of a sample, made by the model."),
    ],
    truth: Annotated[
        Path, typer.Option(help="Table with the columns contig and label (virus or host) of sequences of known origin.")
    ],
    model: Model,
    prior: Annotated[
        float, typer.Option(help="Share of viral sequences at which the probabilities are to be right.")
    ] = 0.2,
    models_dir: ModelsDir = None,
) -> None:
    """Fit what makes probabilities of a model's scores, and write it into the model's directory.

    The sequences should be as those of later samples, of lengths from a read to a long contig, and none of the model's
    training. Later runs with the model then have other scores; their embeddings stay.

    Example: virnucpro calibrate out --truth truth.tsv --model virnucpro-500
    """
    from virnucpro_kernels.evaluate.calibrate import calibrate
    from virnucpro_kernels.weights.registry import find_model

    found = find_model(model, models_dir)
    calibration, what = calibrate(found, results, truth, prior)
    typer.echo(
        f"{found.name}: calibrated on {what}, for a share of {calibration.prior:g} of viral sequences\n"
        f"written to {found.directory / 'model.toml'}"
    )
