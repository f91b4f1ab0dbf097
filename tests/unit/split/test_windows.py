"""Windows: the original's layout for any length, and the even layout."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.reference_frames import windows as reference_windows
from virnucpro_kernels.split.windows import place_windows


@pytest.mark.parametrize("window_length", [1, 2, 7, 100, 300, 500])
def test_original_layout_of_all_lengths(window_length: int) -> None:
    lengths = np.arange(12 * window_length + 1)
    found = place_windows(lengths, window_length, "original")
    expected = [
        (length, number, start, end)
        for length in lengths.tolist()
        for number, (start, end) in enumerate(reference_windows(length, window_length))
    ]
    columns = (found.contig, found.number, found.start, found.end)
    assert np.array_equal(np.stack(columns, axis=1), np.array(expected))


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (3, [(0, 3)]),
        (500, [(0, 500)]),
        (501, [(0, 500), (250, 501)]),
        (750, [(0, 500), (374, 750)]),
        (1000, [(0, 500), (500, 1000)]),
        (1001, [(0, 500), (333, 833), (666, 1001)]),
    ],
)
def test_original_layout_by_example(length: int, expected: list[tuple[int, int]]) -> None:
    found = place_windows([length], 500, "original")
    assert list(zip(found.start.tolist(), found.end.tolist(), strict=True)) == expected


@given(st.lists(st.integers(0, 3000), max_size=20), st.integers(1, 700))
def test_even_layout(lengths: list[int], window_length: int) -> None:
    found = place_windows(lengths, window_length, "even")
    for contig, length in enumerate(lengths):
        mine = found.contig == contig
        start, end = found.start[mine], found.end[mine]
        assert mine.sum() == -(-length // window_length)
        if length:
            assert start[0] == 0
            assert end[-1] == length
            assert (end - start == min(length, window_length)).all()
            assert (start[1:] <= end[:-1]).all()
            steps = np.diff(start)
            assert steps.size == 0 or steps.max() - steps.min() <= 1


def test_starts_of_one_contig() -> None:
    assert place_windows([1001], 500, "original").start.tolist() == [0, 333, 666]
    assert place_windows([1001], 500, "even").start.tolist() == [0, 250, 501]
    assert place_windows([0], 500, "original").start.tolist() == []


def test_wrong_geometry_is_refused() -> None:
    with pytest.raises(ValueError, match="window length 0"):
        place_windows([5], 0, "original")
    with pytest.raises(ValueError, match="layout 'odd'"):
        place_windows([5], 3, "odd")  # type: ignore[arg-type]
