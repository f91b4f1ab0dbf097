"""Packing: nothing lost, nothing moved, batches within their budget."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from virnucpro_kernels.ops.packing import TokenArray, pack, plan_batches, utilisation

lengths_of_sequences = st.lists(st.integers(1, 60), max_size=60).map(lambda values: np.array(values, dtype=np.int64))


def tokens_of(lengths: np.ndarray) -> TokenArray:
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return TokenArray((np.arange(offsets[-1]) % 250).astype(np.uint8), offsets)


@given(lengths_of_sequences, st.integers(1, 200))
def test_batches_are_neighbours_within_the_budget_and_leave_nothing_out(lengths: np.ndarray, budget: int) -> None:
    batches = plan_batches(lengths, budget)
    assert [i for batch in batches for i in range(batch.start, batch.stop)] == list(range(len(lengths)))
    for batch in batches:
        assert lengths[batch].sum() <= budget or batch.stop - batch.start == 1
    for batch, following in pairwise(batches):
        assert lengths[batch].sum() + lengths[following.start] > budget


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        plan_batches(np.array([1]), 0)


def test_windows_of_500_bp_fill_99_percent_of_the_default_budget() -> None:
    lengths = np.random.default_rng(0).integers(160, 169, 50_000)
    assert utilisation(lengths, plan_batches(lengths, 16_896), 16_896) > 0.99


@given(lengths_of_sequences.filter(len), st.data())
def test_a_packed_batch_holds_the_sequences_and_restarts_positions(lengths: np.ndarray, data: st.DataObject) -> None:
    sequences = tokens_of(lengths)
    start = data.draw(st.integers(0, len(lengths) - 1))
    stop = data.draw(st.integers(start + 1, len(lengths)))
    batch = pack(sequences, slice(start, stop))
    assert {x.dtype for x in (batch.tokens, batch.cu_seqlens, batch.positions, batch.spans)} == {torch.int32}
    assert batch.max_length == lengths[start:stop].max()
    assert batch.lengths.tolist() == lengths[start:stop].tolist()
    borders = batch.cu_seqlens.tolist()
    spans = list(zip(borders, np.diff(borders).tolist(), strict=False))
    assert sorted(batch.spans.tolist()) == sorted(map(list, spans))
    assert batch.spans[:, 1].tolist() == sorted(lengths[start:stop], reverse=True)
    assert borders[0] == 0
    assert borders[-1] == batch.tokens.numel()
    for index in range(start, stop):
        here = slice(borders[index - start], borders[index - start + 1])
        expected = sequences.tokens[sequences.offsets[index] : sequences.offsets[index + 1]]
        assert batch.tokens[here].tolist() == expected.tolist()
        assert batch.positions[here].tolist() == list(range(lengths[index]))


def test_fixed_shapes_are_padded_with_tokens_of_no_sequence() -> None:
    batch = pack(tokens_of(np.array([3, 2])), slice(0, 2), total_tokens=9)
    assert batch.tokens.tolist() == [0, 1, 2, 3, 4, 0, 0, 0, 0]
    assert batch.positions.tolist() == [0, 1, 2, 0, 1, 0, 0, 0, 0]
    assert batch.cu_seqlens.tolist() == [0, 3, 5]
    assert batch.lengths.tolist() == [3, 2]
    assert batch.spans.tolist() == [[0, 3], [3, 2]]
    assert batch.max_length == 3
    with pytest.raises(ValueError, match="do not fit"):
        pack(tokens_of(np.array([3, 2])), slice(0, 2), total_tokens=4)


def test_a_batch_moves_as_a_whole() -> None:
    batch = pack(tokens_of(np.array([3, 2])), slice(0, 2)).to("meta")
    assert {x.device.type for x in (batch.tokens, batch.cu_seqlens, batch.positions, batch.spans)} == {"meta"}
    assert batch.max_length == 3
