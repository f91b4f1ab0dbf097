"""`virnucpro collect`: the scores of a sample's frames become its tables."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from virnucpro_kernels.cli.options import Model, ModelsDir, schema_option

Inputs = Annotated[
    list[Path] | None,
    typer.Option(help="The sample's sequence file, for viral.fna.gz; without it, that file is not written."),
]
OriginalFiles = Annotated[
    Literal["original", "broad", "none"],
    schema_option(
        "original_files", "The original tool's two files: as it writes them, as the Broad's version, or none."
    ),
]
ViralThreshold = Annotated[float, schema_option("viral_threshold", "Least p_virus of a contig that is called viral.")]
AmbiguousBand = Annotated[
    tuple[float, float],
    schema_option("ambiguous_band", "A window is ambiguous from the first to below the second p_virus."),
]
TierMedium = Annotated[float, schema_option("tier_medium", "Least p_virus of a viral contig of tier medium or high.")]
TierHigh = Annotated[float, schema_option("tier_high", "Least p_virus of a viral contig of tier high.")]


def collect(
    contigs: Annotated[Path, typer.Option(help="The pool's contigs.parquet.")],
    windows: Annotated[Path, typer.Option(help="The pool's windows.parquet.")],
    manifest: Annotated[Path, typer.Option(help="The pool's chunks.tsv.")],
    scores_dir: Annotated[Path, typer.Option(help="Folder with the scores of each chunk, as `classify` wrote them.")],
    sample: Annotated[str, typer.Option(help="The sample of the pool to collect.")],
    model: Model,
    output_dir: Annotated[Path, typer.Option(help="Folder for the results of the sample.")],
    original_files: OriginalFiles,
    viral_threshold: ViralThreshold,
    ambiguous_band: AmbiguousBand,
    tier_medium: TierMedium,
    tier_high: TierHigh,
    inputs: Inputs = None,
    models_dir: ModelsDir = None,
) -> None:
    """Write the tables, the viral sequences and the record of one sample."""
    from virnucpro_kernels.score.collect import collect
    from virnucpro_kernels.score.sample_reader import Sources
    from virnucpro_kernels.score.thresholds import Thresholds
    from virnucpro_kernels.weights.registry import find_model

    summary = collect(
        Sources(contigs, windows, manifest, scores_dir, tuple(inputs or ())),
        sample=sample,
        model=find_model(model, models_dir),
        output_dir=output_dir,
        thresholds=Thresholds(viral_threshold, ambiguous_band, tier_medium, tier_high),
        original_files=original_files,
    )
    typer.echo(f"{sample}: {summary.describe()}\nresults in {output_dir}")
