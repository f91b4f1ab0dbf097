"""`virnucpro collect`: the scores of a sample's frames become its tables."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from virnucpro_kernels.cli.options import Model, ModelsDir, SchemaDefault, schema_option

Inputs = Annotated[
    list[Path] | None,
    typer.Option(help="The sample's sequence file; without it, no viral sequences are written."),
]
OriginalFiles = Annotated[
    Literal["original", "broad", "none"],
    schema_option(
        "original_files",
        "The original tool's two files: `original`, as it writes them, `broad`, as the Broad's version, or `none`.",
        metavar="<name>",
    ),
]
Reads = Annotated[
    Literal["none", "viral", "both"],
    schema_option(
        "reads", "Reads of FASTQ or BAM to write with their qualities: `viral`, `both`, or `none`.", metavar="<name>"
    ),
]


def _use_preset(context: typer.Context, name: str) -> str:
    """Have the options that are not given take the values of the preset."""
    from virnucpro_kernels.run.config import schema

    context.default_map = schema("config")["presets"][name]
    return name


Preset = Annotated[
    Literal["default", "strict", "sensitive"],
    typer.Option(
        default_factory=SchemaDefault("preset"),
        callback=_use_preset,
        is_eager=True,
        metavar="<name>",
        help="default, strict or sensitive: purpose of the calls, which sets those of the following options that are"
        " not given.",
    ),
]
MinWindowFraction = Annotated[
    float,
    schema_option("min_window_fraction", "Least scored bases of a call, as a fraction of the model's window length."),
]
MinScoredWindows = Annotated[
    int,
    schema_option(
        "min_scored_windows", "Least scored windows of a call; a contig with fewer windows needs all of them."
    ),
]
MinCoveredFraction = Annotated[
    float, schema_option("min_covered_fraction", "Least fraction of a called contig's bases that scored windows cover.")
]
ViralThreshold = Annotated[float, schema_option("viral_threshold", "Least p_virus of a contig that is called viral.")]
Fdr = Annotated[
    float | None,
    schema_option("fdr", "False discovery rate of the viral contigs instead of a threshold; for calibrated models."),
]
AmbiguousBand = Annotated[
    tuple[float, float],
    schema_option("ambiguous_band", "A window is ambiguous from the first to below the second p_virus."),
]
RegionThreshold = Annotated[
    float,
    schema_option("region_threshold", "p_virus from which on a window speaks for a virus where a contig is divided."),
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
    reads: Reads,
    preset: Preset,
    min_window_fraction: MinWindowFraction,
    min_scored_windows: MinScoredWindows,
    min_covered_fraction: MinCoveredFraction,
    viral_threshold: ViralThreshold,
    fdr: Fdr,
    ambiguous_band: AmbiguousBand,
    region_threshold: RegionThreshold,
    tier_medium: TierMedium,
    tier_high: TierHigh,
    inputs: Inputs = None,
    threads: Annotated[
        int, typer.Option(min=1, metavar="<int>", help="Number of threads; the files do not depend on it.")
    ] = 1,
    models_dir: ModelsDir = None,
) -> None:
    """Write the tables, the viral sequences and the record of one sample.

    Example: virnucpro collect --contigs contigs.parquet --windows windows.parquet --manifest chunks.tsv
    --scores-dir scores --sample S1 --model compact-500 --output-dir results/S1
    """
    from virnucpro_kernels.score.collect import collect
    from virnucpro_kernels.score.sample_reader import Sources
    from virnucpro_kernels.score.thresholds import Thresholds
    from virnucpro_kernels.weights.registry import find_model

    summary = collect(
        Sources(contigs, windows, manifest, scores_dir, tuple(inputs or ())),
        sample=sample,
        model=find_model(model, models_dir),
        output_dir=output_dir,
        thresholds=Thresholds(
            min_window_fraction=min_window_fraction,
            min_scored_windows=min_scored_windows,
            min_covered_fraction=min_covered_fraction,
            viral_threshold=viral_threshold,
            fdr=fdr,
            ambiguous_band=ambiguous_band,
            region_threshold=region_threshold,
            tier_medium=tier_medium,
            tier_high=tier_high,
        ),
        original_files=original_files,
        reads=reads,
        threads=threads,
    )
    typer.echo(f"{sample}: {summary.describe()}\nresults in {output_dir}")
