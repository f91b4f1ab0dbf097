"""The plan of the chunks of a pool: equal cost, no empty chunk, borders in the order by length."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from virnucpro_kernels.split.chunk_plan import plan_chunks

HISTOGRAMS = st.lists(st.integers(0, 40), min_size=2, max_size=60).map(lambda counts: np.array([0, *counts], np.int64))


@given(HISTOGRAMS, st.integers(1, 5000), st.integers(1, 50))
def test_chunks_are_of_equal_cost(histogram: np.ndarray, chunk_tokens: int, min_chunks: int) -> None:
    plan = plan_chunks(histogram, chunk_tokens=chunk_tokens, min_chunks=min_chunks)
    borders = plan.borders
    costs = np.repeat(np.arange(len(histogram)), histogram) + 2
    assert borders[0] == 0
    assert borders[-1] == len(costs)
    if len(costs) == 0:
        assert borders.tolist() == [0]
        assert len(plan) == 0
        return
    tokens = int(costs.sum())
    count = len(plan)
    assert count >= min(min_chunks, len(costs))
    if count not in (min_chunks, len(costs)):
        assert count in {1, 2, 4} or count % 8 == 0  # so that 2, 4 or 8 GPUs share them
        assert tokens / count <= chunk_tokens
        assert count == 1 or tokens / count >= chunk_tokens / 8
    assert (np.diff(borders) > 0).all()
    parts = [costs[a:b] for a, b in pairwise(borders)]
    sums = np.array([part.sum() for part in parts])
    assert plan.tokens.tolist() == sums.tolist()
    assert plan.min_residues.tolist() == [part.min() - 2 for part in parts]
    assert plan.max_residues.tolist() == [part.max() - 2 for part in parts]
    if count * costs.max() <= tokens:
        assert abs(sums - tokens / count).max() <= 2 * costs.max()


@pytest.mark.parametrize(
    ("tokens", "chunks"), [(4, 1), (900, 1), (1_000, 2), (1_900, 2), (2_000, 4), (4_000, 8), (31_000, 8), (32_004, 16)]
)
def test_several_gpus_share_the_chunks_equally(tokens: int, chunks: int) -> None:
    frames_of_length = np.array([0, 0, tokens // 4])  # 4 tokens each
    assert len(plan_chunks(frames_of_length, chunk_tokens=4_000, min_chunks=1)) == chunks


def test_the_plan_of_a_very_large_pool() -> None:
    plan = plan_chunks(np.array([0, 0, 10**13]), chunk_tokens=10**9, min_chunks=1)
    assert len(plan) == 40_000
    assert set(plan.tokens.tolist()) == {10**9}
    assert set(np.diff(plan.borders).tolist()) == {250_000_000}
