"""`virnucpro draw`: windows of genomes, to train on."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from virnucpro_kernels.cli.options import Layout, training_option

Frames = Annotated[
    Literal["all", "cds"],
    training_option("frames", "all stop-free frames, or `cds`: those in annotated coding sequences.", metavar="<rule>"),
]
Windows = Annotated[int, training_option("windows", "Windows of each class to train on.")]
HeldOutWindows = Annotated[int, training_option("held_out_windows", "Windows of each class for val, and for test.")]
ShortShare = Annotated[float, training_option("short_share", "Share of the windows that are shorter, from 150 bp on.")]
Seed = Annotated[int, training_option("seed", "Seed of all that is random.")]


def draw(
    genomes: Annotated[Path, typer.Argument(metavar="GENOMES_TSV", help="Table of genomes (docs/training.md).")],
    output_dir: Annotated[Path, typer.Option(help="Folder for the windows.")],
    window_length: Annotated[int, typer.Option(min=60, help="Window length in bp.")],
    frames: Frames,
    windows: Windows,
    held_out_windows: HeldOutWindows,
    short_share: ShortShare,
    seed: Seed,
    layout: Layout = "original",
) -> None:
    """Draw windows of genomes to train on: windows.fna, and their list.

    Example: virnucpro draw genomes.tsv --output-dir drawn --window-length 500
    """
    from virnucpro_kernels.pool.geometry import Geometry
    from virnucpro_kernels.train.draw import DrawOptions, draw

    geometry = Geometry(window_length, layout)
    drawn = draw(genomes, output_dir, DrawOptions(geometry, frames, windows, held_out_windows, short_share, seed))
    typer.echo(f"{len(drawn):,} windows of {len({window.group for window in drawn}):,} groups in {output_dir}")
