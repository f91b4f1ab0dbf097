"""Runs of the engine on tiny encoders, for the tests on a CPU and on a GPU."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from tests.helpers import tiny
from tests.helpers.blocks import esm2_blocks
from virnucpro_kernels.embed.device import Embeds
from virnucpro_kernels.embed.engine import Encoder, Engine
from virnucpro_kernels.embed.measures import Measures
from virnucpro_kernels.embed.resume import open_partial
from virnucpro_kernels.models.esm2 import Esm2
from virnucpro_kernels.models.tokenizers import tokenize_proteins
from virnucpro_kernels.pool.chunk_fasta import Frames
from virnucpro_kernels.pool.embedding_file import EmbeddingReader
from virnucpro_kernels.pool.provenance import Alphabet, EncoderRecord, Provenance

BUDGET = 256


def proteins_by(module: Embeds) -> Encoder:
    return Encoder("protein", module, tokenize_proteins)


def with_outliers(factor: float) -> Esm2:
    """Return an encoder in which two channels leave the range of fp16 within a layer, one upwards, one downwards.

    Both are needed: GELU may turn values far below zero into zeros before they are rounded.
    """
    encoder = tiny.protein_encoder()
    block = esm2_blocks(encoder)[0]
    block.feed_forward.up.weight[3] *= factor
    block.feed_forward.up.weight[4] = -block.feed_forward.up.weight[3]
    block.feed_forward.down.weight[:, 3:5] /= factor / 100  # not less, or fp16 has few digits for them
    return encoder


def provenance(budget: int = BUDGET, precision: str = "fp32") -> dict[Alphabet, Provenance]:
    base = Provenance("pool", "00000", "500-original", "encoders", "aa" * 32, "bb" * 32)
    run = EncoderRecord("tiny", "cc" * 32, tiny.PROTEIN_DIMENSION, precision, "sdpa", budget)
    return {
        "protein": replace(base, protein=run),
        "nucleotide": replace(base, nucleotide=replace(run, dimension=tiny.NUCLEOTIDE_DIMENSION)),
    }


def embed(
    folder: Path,
    frames: Frames,
    *encoders: Encoder,
    budget: int = BUDGET,
    precision: str = "fp32",
    engine: Engine | None = None,
) -> dict[Alphabet, Measures]:
    """Embed into `folder`, with the partial files beside the others."""
    engine = engine or Engine(torch.device("cpu"), torch.float32)
    outputs: dict[Alphabet, Path] = {"nucleotide": folder / "n.h5", "protein": folder / "p.h5"}
    makers = {each.alphabet: partial(replace, each) for each in encoders}
    with open_partial(folder / "partial") as earlier:
        return engine.embed_chunk(frames, makers, provenance(budget, precision), outputs, earlier)


def read(path: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    with EmbeddingReader(path) as reader:
        return reader.rows, reader.read(0, len(reader))


def stop_after(batches: int) -> Callable[[], bool]:
    """Return a function that answers False for so many batches, and True from then on."""
    checks = count()
    return lambda: next(checks) >= batches
