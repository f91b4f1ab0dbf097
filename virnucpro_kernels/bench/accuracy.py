"""What a lower precision does to the vectors: cosine with those of the same weights in fp32."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from virnucpro_kernels.bench.encoders import Batches, Encoder


@dataclass(frozen=True)
class Accuracy:
    """Cosines between two sets of vectors of the same sequences."""

    precision: str
    outliers: bool
    sequences: int
    worst: float
    mean: float


def vectors(encoder: Encoder, batches: Batches) -> torch.Tensor:
    """fp32 (sequences, d) on the CPU; sequences without residues are left out."""
    found = []
    for batch in batches.batches:
        embedded = encoder.embed(batch).cpu()
        found.append(embedded[torch.from_numpy(batch.lengths > 2)])
    return torch.cat(found)


def compare(precision: str, outliers: bool, ours: torch.Tensor, exact: torch.Tensor) -> Accuracy:
    """Cosine of each pair of rows, in fp64: in fp32 it is uncertain by 1e-7, which is all there is to see in fp16."""
    cosine = functional.cosine_similarity(ours.double(), exact.double(), dim=1)
    return Accuracy(precision, outliers, len(cosine), float(cosine.min()), float(cosine.mean()))
