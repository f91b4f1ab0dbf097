"""`virnucpro classify`: the features of a chunk become the scores of its frames."""

from pathlib import Path
from typing import Annotated

import typer


def classify(
    features: Annotated[Path, typer.Argument(help="Features of a chunk, as `merge` writes them.")],
    model: Annotated[str, typer.Option(help="Name or directory of the model.")],
    output: Annotated[Path, typer.Option(help="The Parquet file to write: row, logit, p_other, p_virus.")],
    models_dir: Annotated[Path | None, typer.Option(help="Where imported models lie.")] = None,
) -> None:
    """Score every frame of a chunk; refuses features of other windows or encoders than the model's."""
    from virnucpro_kernels.pool.job_record import Job
    from virnucpro_kernels.score.classify import classify
    from virnucpro_kernels.weights.load import load_classifier
    from virnucpro_kernels.weights.registry import find_model

    found = find_model(model, models_dir)
    with Job(output.with_name(f"{output.stem}.classify.json"), "classify") as job:
        classify(features, found, load_classifier(found), output, job.progress)
        job.facts |= {"device": "cpu", "model_id": found.model_id}
