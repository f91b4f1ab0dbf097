"""Batches of contigs with made-up windows and logits, as `collect` reads them."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tests.helpers.synthetic_pool import softmax
from virnucpro_kernels.score.sample_reader import ContigBatch

Window = tuple[int, int, dict[int, float]]


def make_block(contigs: Sequence[tuple[int, Sequence[Window]]]) -> ContigBatch:
    """A batch of contigs, each a length and its windows: start, end, logits by frame."""
    windows = [window for _, members in contigs for window in members]
    logits = [frames[frame] for *_, frames in windows for frame in sorted(frames)]
    return ContigBatch(
        contig=pa.array([f"c{index}" for index in range(len(contigs))], pa.string()),
        description=pa.array([""] * len(contigs), pa.string()),
        length=np.array([length for length, _ in contigs], np.int64),
        status=pa.array(["scored"] * len(contigs), pa.string()),
        windows=np.array([len(members) for _, members in contigs], np.int64),
        note=pa.array([""] * len(contigs), pa.string()),
        start=np.array([start for start, _, _ in windows], np.int64),
        end=np.array([end for _, end, _ in windows], np.int64),
        mask=np.array([sum(1 << frame for frame in frames) for *_, frames in windows], np.uint8),
        logit=np.array(logits, np.float32),
        scores=softmax(logits).reshape(-1, 2),
    )
