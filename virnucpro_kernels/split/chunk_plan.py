"""Chunks: how the frames of a pool are shared out over them.

The frames of a pool have an order: by length of the protein, then by row. A chunk is an interval of that order, so that
its frames are of similar length; within its files the frames lie in the order of their rows.
"""

from dataclasses import dataclass

import numpy as np

from virnucpro_kernels.pool.tokens import SPECIAL_TOKENS
from virnucpro_kernels.sequences.arrays import Int64s


@dataclass(frozen=True, eq=False)
class ChunkPlan:
    """How the frames of a pool are shared out over n chunks.

    Attributes:
        borders: int64 (n + 1,): chunk k holds the frames from border k to border k + 1 of the order by length and row.
        tokens: int64 (n,), protein tokens of each chunk.
        min_residues, max_residues: int64 (n,), length of its shortest and of its longest protein.
    """

    borders: Int64s
    tokens: Int64s
    min_residues: Int64s
    max_residues: Int64s

    def __len__(self) -> int:
        return len(self.tokens)


def plan_chunks(frames_of_length: Int64s, *, chunk_tokens: int, min_chunks: int) -> ChunkPlan:
    """Share the frames of a pool out over chunks of equal cost.

    Args:
        frames_of_length: int64 (longest + 1,), number of frames for each length of the protein.
        chunk_tokens: protein tokens that a chunk holds at most, give or take one frame.
        min_chunks: chunks there shall be at least, as far as there are frames for them.

    No chunk of the plan is empty; without frames there is none.
    """
    frames = int(frames_of_length.sum())
    if frames == 0:
        nothing = np.zeros(0, np.int64)
        return ChunkPlan(np.zeros(1, np.int64), nothing, nothing, nothing)
    cost = np.arange(len(frames_of_length)) + SPECIAL_TOKENS
    frames_before = np.cumsum(frames_of_length) - frames_of_length
    tokens_before = np.cumsum(frames_of_length * cost) - frames_of_length * cost
    tokens = int((frames_of_length * cost).sum())
    count = min(max(min_chunks, -(-tokens // chunk_tokens)), frames)

    # Python integers: chunks times tokens may pass 2**63.
    targets = np.array([tokens * chunk // count for chunk in range(1, count)], np.int64)
    length = np.searchsorted(tokens_before, targets, side="right") - 1
    inner = frames_before[length] + (targets - tokens_before[length]) // cost[length]
    # Where frames are few, borders coincide: pull them apart, from the left and then from the right.
    step = np.arange(1, count)
    inner = np.maximum.accumulate(np.maximum(inner - step, 0)) + step
    inner = np.minimum(inner, frames - count + step)
    borders = np.concatenate([[0], inner, [frames]])

    frames_until = frames_before + frames_of_length
    shortest, longest = (np.searchsorted(frames_until, at, side="right") for at in (borders[:-1], borders[1:] - 1))
    tokens_until = tokens_before[longest] + (borders[1:] - frames_before[longest]) * cost[longest]
    return ChunkPlan(borders, np.diff(tokens_until, prepend=0), shortest, longest)
