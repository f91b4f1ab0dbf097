"""SequenceArray: sequences that are put in are found again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virnucpro_kernels.sequences.arrays import SequenceArray

SEQUENCES = st.lists(st.binary(max_size=12), max_size=12)


@given(SEQUENCES)
def test_holds_the_sequences(sequences: list[bytes]) -> None:
    array = SequenceArray.from_list(sequences)
    assert len(array) == len(sequences)
    assert list(array) == sequences
    assert [array[i] for i in range(len(array))] == sequences
    assert [array[i - len(array)] for i in range(len(array))] == sequences
    assert array.lengths.tolist() == [len(sequence) for sequence in sequences]


@given(SEQUENCES, st.data())
def test_slices(sequences: list[bytes], data: st.DataObject) -> None:
    array = SequenceArray.from_list(sequences)
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(sequences))] * 2)))
    assert list(array.slice(start, stop)) == sequences[start:stop]


@given(st.lists(st.text("ACGTUacgtu", max_size=6)))
def test_rna_becomes_dna(texts: list[str]) -> None:
    array = SequenceArray.from_list([text.encode() for text in texts])
    assert [text.decode() for text in array.as_dna()] == [text.replace("U", "T").replace("u", "t") for text in texts]
    assert array.holds_uracil().tolist() == ["u" in text.lower() for text in texts]
    assert [text.decode() for text in array] == texts


def test_an_index_outside_is_an_error() -> None:
    array = SequenceArray.from_list([b"AC", b"G"])
    for index in (2, -3):
        with pytest.raises(IndexError):
            array[index]


def test_lengths_must_fit() -> None:
    with pytest.raises(ValueError, match="5 characters"):
        SequenceArray.from_lengths(b"ACGTA", [2, 2])
