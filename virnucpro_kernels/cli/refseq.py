"""`virnucpro refseq`: the original's training set."""

from pathlib import Path
from typing import Annotated

import typer

from virnucpro_kernels.cli.draw import Seed


def refseq(
    output_dir: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the files.", file_okay=False)],
    seed: Seed,
    source: Annotated[
        str | None,
        typer.Option(metavar="<url>", help="Address of the release's folder; that of NCBI by default, or of a mirror."),
    ] = None,
) -> None:
    """Download the genomes that the original was trained on, as RefSeq has them now, and write their table.

    A download that was interrupted goes on where it stopped. Proxies are those of HTTPS_PROXY and the like.

    Example: virnucpro refseq refseq
    """
    from virnucpro_kernels.train.refseq import SOURCE, fetch_refseq

    table = fetch_refseq(output_dir, source or SOURCE, seed)
    typer.echo(f"table of genomes: {table}")
    typer.echo(f"use it: virnucpro train {table} --base virnucpro-500 --frames cds --output-dir training")
