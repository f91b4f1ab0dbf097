"""The features of the frames to train on: what the workflow left for the drawn windows, joined with their classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.pool.embedding_file import EmbeddingReader
from virnucpro_kernels.pool.file_names import MANIFEST, WINDOWS, vector_name
from virnucpro_kernels.pool.labels import FRAME_NAMES
from virnucpro_kernels.pool.manifest import read_manifest
from virnucpro_kernels.pool.provenance import Provenance
from virnucpro_kernels.sequences.arrays import Int64s
from virnucpro_kernels.train.drawn import DrawnWindow
from virnucpro_kernels.train.genomes import LABELS
from virnucpro_kernels.train.head import Examples

_BITS = np.arange(len(FRAME_NAMES))


@dataclass(frozen=True, eq=False)
class TrainingFrames:
    """The frames of one side of the split, by window and, within one, in the order of `labels.FRAME_NAMES`.

    Attributes:
        windows: Windows of this side.
        window: Index of the window of each frame, int64 (f,).
        examples: Features, classes and weights of the frames.
        provenance: What made the features.
    """

    windows: Sequence[DrawnWindow]
    window: Int64s
    examples: Examples
    provenance: Provenance


def read_training_frames(windows: Sequence[DrawnWindow], split: str, pool: Path, encoders: str) -> TrainingFrames:
    """Read the features of the frames of one side of the split.

    Args:
        windows: Windows of all sides, each of which is a contig of the pool, in its order.
        split: Side of the split.
        pool: Folder of the pool, with its manifest, its table of windows, and the features below it.
        encoders: Name of the folder of the features in it.

    Raises:
        DamagedFileError: a file is damaged, or the pool is not of these windows.
    """
    table = pq.read_table(pool / WINDOWS, columns=["contig", "mask", "first_row"])
    masks, first_row = (table[name].to_numpy().astype(np.int64) for name in ("mask", "first_row"))
    wanted = np.array([window.frames for window in windows], np.int64)
    if not np.array_equal(table["contig"].to_numpy(), np.arange(len(windows))) or (wanted & ~masks).any():
        raise DamagedFileError(f"{pool}: not of the windows that were drawn; remove this folder, then start again")
    of_split = np.flatnonzero([window.split == split for window in windows])
    masks, first_row = masks[of_split], first_row[of_split]
    window, frame = np.nonzero(wanted[of_split, None] >> _BITS & 1)
    # A frame's rank is the number of the window's frames before it.
    rows = first_row[window] + np.bitwise_count(masks[window] & ((1 << frame) - 1))
    features, provenance = _read_rows(rows, pool, encoders)
    own = [windows[index] for index in of_split.tolist()]
    labels = np.array([LABELS.index(one.label) for one in own], np.int64)[window]
    weights = 1 / np.bincount(window)[window]
    examples = Examples(features, torch.from_numpy(labels), torch.from_numpy(weights).float())
    return TrainingFrames(own, window, examples, provenance)


def _read_rows(rows: Int64s, pool: Path, encoders: str) -> tuple[torch.Tensor, Provenance]:
    """Return the features of ascending rows, fp32 (n, d), from the files of all chunks."""
    features: torch.Tensor | None = None
    provenance: Provenance | None = None
    found = 0
    for chunk in read_manifest(pool / MANIFEST):
        with EmbeddingReader(pool / encoders / vector_name(chunk.chunk, "features"), encoders) as reader:
            provenance = reader.provenance
            if features is None:
                features = torch.empty(len(rows), provenance.dimension)
            for block_rows, vectors in reader.blocks():
                place = np.searchsorted(rows, block_rows)
                there = rows[np.minimum(place, len(rows) - 1)] == block_rows
                features[place[there]] = torch.from_numpy(vectors[there].astype(np.float32))
                found += int(there.sum())
    if features is None or provenance is None or found != len(rows):
        raise DamagedFileError(f"{pool}: {found:,} of {len(rows):,} frames have features; remove it, then start again")
    return features, provenance
