"""From pieces of genomes to the features of their frames, by the code that a run uses."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import torch

from virnucpro_kernels.models.dnabert_s import DnabertS
from virnucpro_kernels.models.esm2 import Esm2
from virnucpro_kernels.models.tokenizers import DnaTokenizer, tokenize_proteins
from virnucpro_kernels.ops.packing import TokenArray, pack, plan_batches
from virnucpro_kernels.pool.geometry import Geometry, Layout
from virnucpro_kernels.sequences.arrays import SequenceArray
from virnucpro_kernels.split.frames import frame_sequences
from virnucpro_kernels.split.windows import Windows, place_windows
from virnucpro_kernels.weights.registry import Model

_TOKEN_BUDGET = 8192


@dataclass(frozen=True, eq=False)
class Frames:
    """The stop-free frames of the windows of many sequences.

    Attributes:
        windows: all windows, w of them.
        window: int64 (f,), the window of each frame.
        nucleotides, proteins: f sequences each.
    """

    windows: Windows
    window: npt.NDArray[np.int64]
    nucleotides: SequenceArray
    proteins: SequenceArray


def find_frames(sequences: SequenceArray, geometry: Geometry) -> Frames:
    """Cut sequences into windows, and those into frames."""
    windows = place_windows(sequences.lengths, geometry.window_length, geometry.layout)
    frames, nucleotides, proteins = frame_sequences(sequences, windows, geometry.layout)
    return Frames(windows, frames.window, SequenceArray.from_list(nucleotides), SequenceArray.from_list(proteins))


def geometry_of(model: Model) -> Geometry:
    """Return window length and layout on which a model was trained."""
    return Geometry(model.window_length, cast("Layout", model.layout))


@dataclass(frozen=True)
class Encoders:
    """Both encoders and the tokenizer of the first."""

    tokenizer: DnaTokenizer
    nucleotide: DnabertS
    protein: Esm2

    def features(self, frames: Frames) -> torch.Tensor:
        """Nucleotide and protein embedding of each frame side by side, fp32 (f, d)."""
        nucleotide = _embed(self.nucleotide, self.tokenizer.encode(frames.nucleotides))
        protein = _embed(self.protein, tokenize_proteins(frames.proteins))
        return torch.cat([nucleotide, protein], dim=1)


def _embed(encoder: Esm2 | DnabertS, tokens: TokenArray) -> torch.Tensor:
    """Embed sequences, sorted by length on the way: on a CPU, attention runs over sequences of equal length at once."""
    order = np.argsort(tokens.lengths, kind="stable")
    pieces = np.split(tokens.tokens, tokens.offsets[1:-1])
    by_length = TokenArray(
        np.concatenate([pieces[place] for place in order]), np.append(0, np.cumsum(tokens.lengths[order]))
    )
    batches = plan_batches(by_length.lengths, _TOKEN_BUDGET)
    vectors = torch.cat([encoder.embed(pack(by_length, batch)) for batch in batches])
    found = torch.empty_like(vectors)
    found[torch.from_numpy(order)] = vectors
    return found
