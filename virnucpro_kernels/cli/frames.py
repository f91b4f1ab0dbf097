"""`virnucpro frames`: the original tool's files of windows and frames, from one sequence file."""

from pathlib import Path
from typing import Annotated

import typer

from virnucpro_kernels.cli.options import Layout


def frames(
    input_file: Annotated[
        Path,
        typer.Argument(metavar="INPUT", help="FASTA, FASTQ, GenBank or BAM, also compressed; `-` is standard input."),
    ],
    window_length: Annotated[int, typer.Option(min=1, max=10_000_000, help="Bases of a window.")],
    nucleotide: Annotated[Path, typer.Option(help="File to write: nucleotide sequences of the stop-free frames.")],
    protein: Annotated[Path, typer.Option(help="File to write: their proteins.")],
    layout: Layout = "original",
    windows: Annotated[Path | None, typer.Option(help="File to write: windows.")] = None,
) -> None:
    """Write the windows and the stop-free frames of all contigs, byte for byte as the original tool does.

    Example: virnucpro frames contigs.fa --window-length 500 --nucleotide n.fa --protein p.fa
    """
    from virnucpro_kernels.pool.geometry import Geometry
    from virnucpro_kernels.split.frame_files import write_frames

    geometry = Geometry(window_length, layout)
    counts = write_frames(input_file, geometry, nucleotide=nucleotide, protein=protein, windows=windows)
    typer.echo(f"{counts.contigs:,} contigs, {counts.windows:,} windows, {counts.frames:,} frames")
