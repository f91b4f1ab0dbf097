"""`virnucpro merge`: the embeddings of both encoders become the features of a chunk."""

from pathlib import Path
from typing import Annotated

import typer

from virnucpro_kernels.cli.options import Encoders


def merge(
    nucleotide: Annotated[Path, typer.Argument(metavar="NUCLEOTIDE", help="Embedding file of the nucleotide encoder.")],
    protein: Annotated[Path, typer.Argument(metavar="PROTEIN", help="Embedding file of the protein encoder.")],
    output: Annotated[Path, typer.Option(help="The features file to write.")],
    encoders: Encoders = "",
    link: Annotated[
        bool,
        typer.Option("--link", help="Copy no vectors: the file points to both others, which have to stay beside it."),
    ] = False,
) -> None:
    """Put the vectors of both encoders side by side, after checking that their rows are the same.

    Example: virnucpro merge nucleotide.h5 protein.h5 --output features.h5
    """
    from virnucpro_kernels.embed.merge import run_merge

    run_merge(nucleotide, protein, output, encoders, link=link)
