"""`virnucpro collect`: the scores of a sample's frames become its tables."""

import enum
from pathlib import Path
from typing import Annotated, get_args

import typer

from virnucpro_kernels.errors import DamagedFileError


class OriginalFilesChoice(enum.StrEnum):
    """Values of `--original-files`."""

    ORIGINAL = "original"
    BROAD = "broad"
    NONE = "none"


def collect(
    contigs: Annotated[Path, typer.Option(help="The pool's contigs.parquet.")],
    windows: Annotated[Path, typer.Option(help="The pool's windows.parquet.")],
    manifest: Annotated[Path, typer.Option(help="The pool's chunks.tsv.")],
    scores_dir: Annotated[Path, typer.Option(help="Folder with a score file of each chunk, as `classify` wrote them.")],
    sample: Annotated[str, typer.Option(help="The sample of the pool to collect.")],
    model: Annotated[str, typer.Option(help="Name or folder of the model that made the scores.")],
    output_dir: Annotated[Path, typer.Option(help="Folder for the results of the sample.")],
    inputs: Annotated[
        list[Path] | None,
        typer.Option(help="The sample's sequence file, for viral.fna.gz; without it there will be none."),
    ] = None,
    models_dir: Annotated[Path | None, typer.Option(help="Folder of imported models.")] = None,
    original_files: Annotated[
        OriginalFilesChoice, typer.Option(help="The original tool's two files: as it writes them, as Broad's, or none.")
    ] = OriginalFilesChoice.ORIGINAL,
    viral_threshold: Annotated[float, typer.Option(help="Call a contig viral from this p_virus on.")] = 0.5,
    ambiguous_band: Annotated[
        tuple[float, float], typer.Option(help="A window is ambiguous from the first to below the second p_virus.")
    ] = (0.3, 0.7),
    tier_medium: Annotated[float, typer.Option(help="Tier of a viral contig is at least medium from here on.")] = 0.7,
    tier_high: Annotated[float, typer.Option(help="Tier of a viral contig is high from here on.")] = 0.9,
) -> None:
    """Write the tables, the viral sequences and the record of one sample."""
    from virnucpro_kernels.pool.file_names import GATHERED
    from virnucpro_kernels.score.collect import Sources
    from virnucpro_kernels.score.collect import collect as collect_sample
    from virnucpro_kernels.score.original_tables import Flavour
    from virnucpro_kernels.score.thresholds import Thresholds
    from virnucpro_kernels.weights.registry import find_model

    flavour: Flavour | None = next((name for name in get_args(Flavour) if name == original_files.value), None)
    try:
        summary = collect_sample(
            Sources(contigs, windows, manifest, scores_dir, tuple(inputs or ())),
            sample=sample,
            model=find_model(model, models_dir),
            output_dir=output_dir,
            thresholds=Thresholds(viral_threshold, ambiguous_band, tier_medium, tier_high),
            original_files=flavour,
        )
    except DamagedFileError:
        # The workflow's word for it that all scores are there: without it, the next start looks for itself.
        (scores_dir / GATHERED).unlink(missing_ok=True)
        raise
    counts = summary.counts()
    statuses = ", ".join(f"{count:,} {status}" for status, count in counts["status"].items()) or "none"
    tiers = ", ".join(f"{counts['tier'][tier]:,} {tier}" for tier in reversed(counts["tier"]))
    typer.echo(f"{sample}: {summary.contigs:,} contigs ({statuses}); {counts['call']['viral']:,} viral ({tiers})")
    typer.echo(f"results in {output_dir}")
