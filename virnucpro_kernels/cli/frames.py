"""`virnucpro frames`: the original tool's files of windows and frames, from one sequence file."""

import enum
from pathlib import Path
from typing import Annotated

import typer


class LayoutChoice(enum.StrEnum):
    """Values of `--layout`."""

    ORIGINAL = "original"
    EVEN = "even"


def frames(
    input_file: Annotated[
        Path,
        typer.Argument(metavar="INPUT", help="FASTA, FASTQ, GenBank or BAM, also compressed; `-` is standard input."),
    ],
    window_length: Annotated[int, typer.Option(min=1, max=10_000_000, help="Bases of a window.")],
    nucleotide: Annotated[Path, typer.Option(help="File for the nucleotide sequences of the stop-free frames.")],
    protein: Annotated[Path, typer.Option(help="File for their proteins.")],
    windows: Annotated[Path | None, typer.Option(help="File for the windows.")] = None,
    layout: Annotated[
        LayoutChoice, typer.Option(help="The original's windows, or windows spread evenly, the last at full length.")
    ] = LayoutChoice.ORIGINAL,
) -> None:
    """Write the windows and the stop-free frames of all contigs, byte for byte as the original tool does."""
    import tempfile

    from virnucpro_kernels.sequences.records import read_batches
    from virnucpro_kernels.sequences.streams import needs_spooling, spool
    from virnucpro_kernels.split.frame_files import write_frame_files
    from virnucpro_kernels.split.windows import Geometry

    with tempfile.TemporaryDirectory(prefix="virnucpro-frames-") as folder:
        name = "standard input" if str(input_file) == "-" else str(input_file)
        if needs_spooling(input_file):
            copy = Path(folder) / "input"
            spool(input_file, copy)
            input_file = copy
        counts = write_frame_files(
            read_batches(input_file, name),
            Geometry(window_length, layout.value),
            nucleotide=nucleotide,
            protein=protein,
            windows=windows,
        )
    typer.echo(f"{counts.contigs:,} contigs, {counts.windows:,} windows, {counts.frames:,} frames")
