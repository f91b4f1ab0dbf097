"""`virnucpro classify`: the features of a chunk become the scores of its frames."""

from pathlib import Path
from typing import Annotated

import typer

from virnucpro_kernels.cli.options import Encoders, Model, ModelsDir


def classify(
    features: Annotated[Path, typer.Argument(metavar="FEATURES", help="Features of a chunk, as `merge` writes them.")],
    model: Model,
    output: Annotated[Path, typer.Option(help="The Parquet file to write: row, logit, p_other, p_virus.")],
    encoders: Encoders = "",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads; the scores do not depend on their number.")] = 1,
    models_dir: ModelsDir = None,
) -> None:
    """Score every frame of a chunk; refuses features of other windows or encoders than the model's.

    Example: virnucpro classify features.h5 --model compact-500 --output scores.parquet
    """
    from virnucpro_kernels.score.classify import classify
    from virnucpro_kernels.weights.registry import find_model

    classify(features, find_model(model, models_dir), output, encoders, threads)
