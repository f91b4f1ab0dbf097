"""`virnucpro split`: the contigs of a pool become windows, frames and length-sorted chunks."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from virnucpro_kernels.cli.options import Layout, schema_option

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="[SAMPLE=]FILE",
        help="Sequence files of the pool, one for each sample, which is named after its file unless a name is given."
        " `-` is standard input.",
    ),
]
MinLength = Annotated[int, schema_option("min_length", "Contigs with fewer bases are not scored.")]
MinSegment = Annotated[int, schema_option("min_segment", "Least residues of a frame where --layout is segments.")]
DuplicateIds = Annotated[
    Literal["error", "suffix"],
    schema_option("duplicate_ids", "Stop where an ID occurs twice in a sample, or number the repeats."),
]
ChunkTokens = Annotated[int, schema_option("chunk_tokens", "Protein tokens of a chunk.")]
MinChunks = Annotated[int, schema_option("min_chunks", "Smallest number of chunks of the pool.")]


def split(
    inputs: Inputs,
    window_length: Annotated[int, typer.Option(min=3, max=10_000_000, help="Bases of a window.")],
    output_dir: Annotated[Path, typer.Option(help="Folder for tables, chunks and manifest.")],
    min_segment: MinSegment,
    min_length: MinLength,
    duplicate_ids: DuplicateIds,
    chunk_tokens: ChunkTokens,
    min_chunks: MinChunks,
    layout: Layout = "original",
    threads: Annotated[int, typer.Option(min=1, help="Number of processes.")] = 1,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Make a pool without contigs, too, where no sample can be used.")
    ] = False,
) -> None:
    """Write the tables, the chunks and the manifest of a pool, and say how much work they are.

    A sample whose file cannot be used is left out where there are others, and named in unusable.tsv.

    Example: virnucpro split contigs.fa --window-length 500 --output-dir pool
    """
    from virnucpro_kernels.pool.geometry import Geometry
    from virnucpro_kernels.run.samples import parse_samples
    from virnucpro_kernels.split.job import run_split
    from virnucpro_kernels.split.split import SplitOptions

    geometry = Geometry(window_length, layout, min_segment)
    options = SplitOptions(geometry, min_length, duplicate_ids, chunk_tokens, min_chunks, threads, allow_empty)
    run_split(parse_samples(inputs), output_dir, options, say=typer.echo, warn=partial(typer.echo, err=True))
