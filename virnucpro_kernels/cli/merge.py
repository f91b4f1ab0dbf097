"""`virnucpro merge`: the embeddings of both encoders become the features of a chunk."""

from pathlib import Path
from typing import Annotated

import typer


def merge(
    nucleotide: Annotated[Path, typer.Argument(help="Embedding file of the nucleotide encoder.")],
    protein: Annotated[Path, typer.Argument(help="Embedding file of the protein encoder.")],
    output: Annotated[Path, typer.Option(help="The features file to write.")],
) -> None:
    """Put the vectors of both encoders side by side, after checking that their rows are the same."""
    from virnucpro_kernels.embed.merge import merge
    from virnucpro_kernels.pool.job_record import Job

    record = output.with_name(f"{output.name.removesuffix('.features.h5')}.merge.json")
    with Job(record, "merge") as job:
        provenance = merge(nucleotide, protein, output, job.progress)
        job.facts |= {"dimension": provenance.dimension}
