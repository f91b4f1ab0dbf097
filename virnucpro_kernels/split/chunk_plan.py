"""Distribution of the frames of a pool over chunks.

The frames of a pool have an order: by length of the protein, then by row. A chunk is an interval of that order, so that
its frames are of similar length; within its files the frames are in the order of their rows.
"""

from dataclasses import dataclass

import numpy as np

from virnucpro_kernels.pool.tokens import SPECIAL_TOKENS
from virnucpro_kernels.sequences.arrays import Int64s

#: The number of chunks is a multiple of this, or 1, 2 or 4 for a small pool: 2, 4 or 8 GPUs then share them equally.
#: Chunks have at least this part of `chunk_tokens`, because in the first seconds of a job its GPU computes nothing.
_SHARES = 8


@dataclass(frozen=True, eq=False)
class ChunkPlan:
    """Distribution of the frames of a pool over n chunks.

    Attributes:
        borders: Ranks in the order by length and row, int64 (n + 1,): chunk k holds the frames from border k to
            border k + 1.
        tokens: Protein tokens of each chunk, int64 (n,).
        min_residues, max_residues: Lengths of the shortest and of the longest protein of each chunk, int64 (n,).
    """

    borders: Int64s
    tokens: Int64s
    min_residues: Int64s
    max_residues: Int64s

    def __len__(self) -> int:
        return len(self.tokens)


def plan_chunks(frames_of_length: Int64s, *, chunk_tokens: int, min_chunks: int) -> ChunkPlan:
    """Distribute the frames of a pool over chunks of equal cost.

    No chunk of the plan is empty; a pool without frames has no chunk. The number of chunks is 1, 2, 4 or a multiple of
    8, each of an eighth of `chunk_tokens` at least. It does not depend on the machine, so that a run gives the same
    results and goes on wherever it is started.

    Args:
        frames_of_length: Number of frames for each length of the protein, int64 (longest + 1,).
        chunk_tokens: Largest number of protein tokens of a chunk, give or take one frame.
        min_chunks: Smallest number of chunks, as far as there are frames for them.
    """
    frames = int(frames_of_length.sum())
    if frames == 0:
        nothing = np.zeros(0, np.int64)
        return ChunkPlan(np.zeros(1, np.int64), nothing, nothing, nothing)
    # Example: 3 frames of 1 residue and 2 of 4 residues cost 3 and 6 tokens each, 21 in all. The border between two
    # chunks is wanted at token 21 // 2 = 10. Before the first frame of 4 residues there are 3 frames and 9 tokens, so
    # token 10 belongs to a frame of 4 residues, and to the first of them: (10 - 9) // 6 = 0. The border is at frame 3.
    cost = np.arange(len(frames_of_length)) + SPECIAL_TOKENS
    frames_before = np.cumsum(frames_of_length) - frames_of_length
    tokens_before = np.cumsum(frames_of_length * cost) - frames_of_length * cost
    tokens = int((frames_of_length * cost).sum())
    count = min(max(min_chunks, count_chunks(tokens, chunk_tokens)), frames)

    # Python integers, because tokens * chunk may exceed 2**63.
    targets = np.array([tokens * chunk // count for chunk in range(1, count)], np.int64)
    length = np.searchsorted(tokens_before, targets, side="right") - 1
    inner = frames_before[length] + (targets - tokens_before[length]) // cost[length]
    # Where frames are few, borders coincide. Each chunk needs a frame: border k is at least one behind border k - 1
    # (first line, from the left), and leaves a frame to each chunk after it (second line, from the right).
    step = np.arange(1, count)
    inner = np.maximum.accumulate(np.maximum(inner - step, 0)) + step
    inner = np.minimum(inner, frames - count + step)
    borders = np.concatenate([[0], inner, [frames]])

    frames_until = frames_before + frames_of_length
    shortest, longest = (np.searchsorted(frames_until, at, side="right") for at in (borders[:-1], borders[1:] - 1))
    tokens_until = tokens_before[longest] + (borders[1:] - frames_before[longest]) * cost[longest]
    return ChunkPlan(borders, np.diff(tokens_until, prepend=0), shortest, longest)


def count_chunks(tokens: int, chunk_tokens: int) -> int:
    """Return the number of chunks for so many tokens."""
    parts = tokens * _SHARES // chunk_tokens  # as many chunks as would have the least size
    if parts < _SHARES:
        return 1 << (max(parts, 1).bit_length() - 1)  # the power of two below
    return _SHARES * -(-tokens // (_SHARES * chunk_tokens))
