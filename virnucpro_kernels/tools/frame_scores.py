"""Frames to vectors and scores in memory, by the engine of a run: for commands that examine a model."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from virnucpro_kernels.embed.encoders import loading, set_up
from virnucpro_kernels.embed.engine import Encoder, Engine
from virnucpro_kernels.embed.resume import open_partial
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.models.precisions import choose_device
from virnucpro_kernels.ops.prepare import prepare
from virnucpro_kernels.pool.chunk_fasta import Frames
from virnucpro_kernels.pool.embedding_file import EmbeddingReader, Vectors
from virnucpro_kernels.pool.provenance import Alphabet, Provenance
from virnucpro_kernels.score.classify import logits, softmax
from virnucpro_kernels.sequences.arrays import SequenceArray
from virnucpro_kernels.weights.load import load_classifier
from virnucpro_kernels.weights.registry import Model

#: Frames with which a CPU warms up: a batch for each encoder.
_WARM_UP = 4


@dataclass(frozen=True, eq=False)
class ScoredFrames:
    """Frames as a model sees them.

    Attributes:
        precision: Precision, never `auto`.
        vectors: Vectors of each encoder, float32 (n, d).
        p_virus: Probability of each frame, float32 (n,).
        tokens_per_second: Speed of each encoder, without loading it.
    """

    precision: str
    vectors: Mapping[Alphabet, Vectors]
    p_virus: npt.NDArray[np.float32]
    tokens_per_second: Mapping[Alphabet, float]


def start_device(requested: str, threads: int) -> torch.device:
    """Return the device, `cpu` or `cuda`, that `auto` or a name stands for, ready to compute.

    Raises:
        UsageError: there is no such device, or it cannot be used.
    """
    chosen = choose_device(requested, gpu_available=torch.cuda.is_available())
    if chosen == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"--device cuda: PyTorch {torch.__version__} finds no GPU that it can use; choose cpu")
    torch.set_num_threads(threads)
    os.environ["RAYON_NUM_THREADS"] = str(threads)  # of the tokenizer
    device = torch.device(chosen)
    prepare(device)
    return device


def score_frames(model: Model, frames: Frames, device: torch.device, precision: str) -> ScoredFrames:
    """Embed and score frames, each with the vectors that a run would give it.

    Raises:
        DamagedFileError: a file of the model is damaged.
        UsageError: the precision cannot run on the device.
    """
    setup = set_up(model, device, precision=precision, attention="auto", token_budget=0, embedding_dtype="float32")
    nucleotide, protein = setup.records["nucleotide"], setup.records["protein"]
    made_by = model.encoders_id(protein.precision)
    base = Provenance("frames", "00000", f"{model.window_length}-{model.layout}", made_by, "", "")
    provenance: dict[Alphabet, Provenance] = {
        "nucleotide": replace(base, nucleotide=nucleotide),
        "protein": replace(base, protein=protein),
    }
    with tempfile.TemporaryDirectory() as folder, loading(setup) as weights:
        engine = Engine(device, setup.dtype)
        encoders = {alphabet: make() for alphabet, make in weights.makers.items()}
        # The first pass warms up, so that speeds compare: on a GPU it compiles the kernels of these very batches, while
        # for a CPU a few frames are enough.
        first = frames if device.type == "cuda" else _head(frames, _WARM_UP)
        for attempt, embedded in enumerate((first, frames)):
            outputs: dict[Alphabet, Path] = {name: Path(folder, f"{attempt}.{name}.h5") for name in encoders}
            makers = {name: partial(_itself, encoder) for name, encoder in encoders.items()}
            with open_partial(Path(folder, "partial")) as progress:
                measures = engine.embed_chunk(embedded, makers, provenance, outputs, progress)
        vectors = {alphabet: _read(path) for alphabet, path in outputs.items()}
    features = np.hstack([vectors["nucleotide"], vectors["protein"]])
    return ScoredFrames(
        protein.precision,
        vectors,
        softmax(logits(load_classifier(model), features))[:, 1],
        {alphabet: of.tokens / max(of.device_seconds, 1e-9) for alphabet, of in measures.items()},
    )


def _head(frames: Frames, count: int) -> Frames:
    """Return the first frames, at most `count`."""
    parts = (SequenceArray.from_list(list(of)[:count]) for of in (frames.nucleotides, frames.proteins))
    return Frames(frames.rows[:count], frames.ids[:count], *parts)


def _itself(encoder: Encoder) -> Encoder:
    return encoder


def _read(path: Path) -> Vectors:
    with EmbeddingReader(path) as reader:
        return reader.read(0, len(reader))
