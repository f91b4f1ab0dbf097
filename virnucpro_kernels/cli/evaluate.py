"""`virnucpro evaluate`: results against what is known to be right."""

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    results: Annotated[
        list[str],
        typer.Argument(
            metavar="RESULTS",
            help="Folder of a run or of the results of a sample, or another tool's table of contigs and scores. A name"
            " for it may stand before it, as in `other=scores.tsv`.",
        ),
    ],
    truth: Annotated[
        Path,
        typer.Option(
            help="Table with the columns contig and label (virus, host or control), and any of category, group, family,"
            " domain and length."
        ),
    ],
    output_dir: Annotated[
        Path, typer.Option("--output-dir", "-o", help="Folder for evaluation.tsv, evaluation.json and evaluation.html.")
    ] = Path("evaluation"),
    contig_column: Annotated[str, typer.Option(help="Name of this column in other tools' tables.")] = "contig",
    score_column: Annotated[str, typer.Option(help="Name of this column in other tools' tables.")] = "score",
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Least score of a viral row. Without it, contigs of ours have their calls, and all else has 0.5."
        ),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(
            help="Share of viral contigs for which calibration and false discovery rates are measured. Without it, that"
            " of the model's calibration, or else that of the contigs with a call. Where there are q-values, false"
            " discovery rates do not depend on it.",
        ),
    ] = None,
    bootstraps: Annotated[
        int, typer.Option(min=0, help="How often groups are drawn anew for the 95 % intervals; 0 for no intervals.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Decides these draws.")] = 0,
    training_genomes: Annotated[
        list[Path] | None,
        typer.Option(
            help="Genomes that the model was trained on: a sequence file, or a folder with genomes.tsv. Contigs that"
            " share much with them are named; may be repeated."
        ),
    ] = None,
    sequences: Annotated[
        list[Path] | None,
        typer.Option(help="Sequences of the contigs, which --training-genomes needs; may be repeated."),
    ] = None,
) -> None:
    """Measure how well results agree with the truth, with intervals, by category, family and length.

    Example: virnucpro evaluate out other=scores.tsv --truth truth.tsv --output-dir evaluation
    """
    from virnucpro_kernels.evaluate.command import evaluate_files
    from virnucpro_kernels.evaluate.results import Columns

    evaluate_files(
        results,
        truth,
        output_dir,
        Columns(contig_column, score_column, threshold, share),
        draws=bootstraps,
        seed=seed,
        genomes=training_genomes or (),
        sequences=sequences or (),
        say=typer.echo,
    )
