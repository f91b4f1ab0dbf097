"""Identical sequences embedded once: every sequence still gets its vector, in order, whatever the batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from virnucpro_kernels.embed.deduplicate import FanOut, find_distinct
from virnucpro_kernels.sequences.arrays import SequenceArray


def test_distinct_sequences_are_found_in_order_of_first_occurrence() -> None:
    distinct = find_distinct(SequenceArray.from_list([b"MK", b"A", b"MK", b"M", b"A", b"MK"]))
    assert list(distinct.sequences) == [b"MK", b"A", b"M"]
    assert distinct.first.tolist() == [0, 1, 3]
    assert distinct.of_row.tolist() == [0, 1, 0, 2, 1, 0]
    assert len(find_distinct(SequenceArray.from_list([]))) == 0


@given(st.lists(st.sampled_from([b"A", b"C", b"D", b"E", b"F", b"GG"]), max_size=40), st.data())
def test_every_sequence_gets_the_vector_of_its_content(sequences: list[bytes], data: st.DataObject) -> None:
    distinct = find_distinct(SequenceArray.from_list(sequences))
    vectors = np.array([[i, -i] for i in range(len(distinct))], np.float32).reshape(-1, 2)
    fan_out, given_out, done = FanOut(distinct, 2, np.float32), [np.empty((0, 2), np.float32)], 0
    while done < len(distinct):
        size = data.draw(st.integers(1, len(distinct) - done))
        given_out.append(fan_out.take(vectors[done : done + size]))
        done += size
        # Nothing waits that could be given out: the next row needs a vector that has not come.
        assert fan_out.given == len(sequences) or distinct.of_row[fan_out.given] == done
    assert [sequences[first] for first in distinct.first] == list(distinct.sequences)
    by_content = dict(zip(distinct.sequences, vectors, strict=True))
    expected = np.array([by_content[sequence] for sequence in sequences]).reshape(-1, 2)
    np.testing.assert_array_equal(np.concatenate(given_out), expected)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_without_repeats_vectors_pass_through(count: int) -> None:
    fan_out = FanOut(find_distinct(SequenceArray.from_list([b"A", b"C", b"D"][:count])), 2, np.float32)
    vectors = np.ones((count, 2), np.float32)
    assert fan_out.take(vectors) is vectors
