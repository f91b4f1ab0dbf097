"""`virnucpro embed`: both encoders on one chunk."""

from pathlib import Path
from typing import Annotated

import typer


def embed(
    manifest: Annotated[Path, typer.Argument(metavar="CHUNKS_TSV", help="The pool's manifest, as `split` wrote it.")],
    chunk: Annotated[str, typer.Option(help="Name of the chunk.")],
    model: Annotated[str, typer.Option(help="Name or directory of the model.")],
    nucleotide: Annotated[Path, typer.Option(help="File to write: vectors of the nucleotide encoder.")],
    protein: Annotated[Path, typer.Option(help="File to write: vectors of the protein encoder.")],
    models_dir: Annotated[Path | None, typer.Option(help="Where imported models lie.")] = None,
    device: Annotated[str, typer.Option(help="auto (a GPU where there is one), cpu or cuda.")] = "auto",
    precision: Annotated[
        str, typer.Option(help="fp32, fp16, bf16, fp8, reference, or auto: fp16 on a GPU, fp32 on a CPU.")
    ] = "auto",
    embedding_dtype: Annotated[
        str, typer.Option(help="float32, float16, or auto: float32 where the precision is fp32 or reference.")
    ] = "auto",
    attention: Annotated[
        str,
        typer.Option(
            help="Attention backend: auto, triton, flash, flash-attn or sdpa; with a comma, the nucleotide encoder's"
            " and the protein encoder's."
        ),
    ] = "auto",
    token_budget: Annotated[int, typer.Option(min=0, help="Tokens of a batch; 0 for the default.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Embed a chunk. Run again after an interruption, it goes on where it was."""
    import os

    from virnucpro_kernels.embed.embed import EmbedOptions, embed
    from virnucpro_kernels.weights.registry import find_model

    # The tokenizer's threads are counted once, when it is imported.
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    embed(
        EmbedOptions(
            manifest,
            chunk,
            find_model(model, models_dir),
            nucleotide,
            protein,
            device,
            precision,
            embedding_dtype,
            attention,
            token_budget,
            threads,
        )
    )
