"""`virnucpro embed`: both encoders on one chunk."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from virnucpro_kernels.cli.options import Model, ModelsDir, schema_option
from virnucpro_kernels.files import expand_user

Device = Annotated[str, schema_option("device", "auto (a GPU where there is one), cpu or cuda.")]
Precision = Annotated[
    str, schema_option("precision", "fp32, fp16, bf16, fp8-ff, fp8, reference, or auto: fp16 on a GPU, fp32 on a CPU.")
]
EmbeddingDtype = Annotated[
    str,
    schema_option("embedding_dtype", "float32, float16, or auto: float32 where the precision is fp32 or reference."),
]
EmbeddingCacheGb = Annotated[
    int, schema_option("embedding_cache_gb", "GB that the cache may have; what was not used for longest goes first.")
]
Attention = Annotated[
    str,
    typer.Option(
        help="Attention backend: auto, triton, flash, flash-attn or sdpa; with a comma, one for the nucleotide encoder"
        " and one for the protein encoder.",
        hidden=True,
    ),
]


def embed(
    manifest: Annotated[Path, typer.Argument(metavar="CHUNKS_TSV", help="The pool's manifest, as `split` wrote it.")],
    chunk: Annotated[str, typer.Option(help="Name of the chunk.")],
    model: Model,
    nucleotide: Annotated[Path, typer.Option(help="File to write: vectors of the nucleotide encoder.")],
    protein: Annotated[Path, typer.Option(help="File to write: vectors of the protein encoder.")],
    device: Device,
    precision: Precision,
    embedding_dtype: EmbeddingDtype,
    embedding_cache_gb: EmbeddingCacheGb,
    models_dir: ModelsDir = None,
    window_length: Annotated[
        int | None,
        typer.Option(
            min=3, help="Length in bp of the windows, for a classifier to be trained on; without it, that of the model."
        ),
    ] = None,
    attention: Attention = "auto",
    token_budget: Annotated[int, typer.Option(min=0, help="Tokens of a batch; 0 for the default.", hidden=True)] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    paranoid: Annotated[
        int,
        typer.Option(
            min=0, help="Batches of each encoder, chosen at random, to compute twice; exit code 3 if they differ."
        ),
    ] = 0,
    embedding_cache: Annotated[
        str, typer.Option(help="Folder of the embedding cache: vectors by the content of their sequences.")
    ] = "",
) -> None:
    """Embed a chunk. Run again after an interruption, it goes on where it stopped.

    Example: virnucpro embed pool/chunks.tsv --chunk 00000 --model compact-500 --nucleotide n.h5 --protein p.h5
    """
    from virnucpro_kernels.embed.stopping import unbroken

    with unbroken():
        from virnucpro_kernels.embed.embed import EmbedOptions, embed
        from virnucpro_kernels.weights.registry import find_model

    found = find_model(model, models_dir)
    embed(
        EmbedOptions(
            manifest,
            chunk,
            replace(found, window_length=window_length or found.window_length),
            nucleotide,
            protein,
            device,
            precision,
            embedding_dtype,
            attention,
            token_budget,
            threads,
            paranoid,
            expand_user(embedding_cache) if embedding_cache else None,
            embedding_cache_gb * 1_000_000_000,
        )
    )
