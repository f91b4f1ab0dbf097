"""`benchmarks/idle.py` counts when no kernel runs."""

import numpy as np

from benchmarks.idle import describe


def test_the_row_of_the_chunk_has_the_change_of_encoders() -> None:
    seconds = np.array([[0.0, 1.0], [1.1, 2.0], [2.0, 3.0], [5.0, 6.0], [5.5, 5.8], [6.0, 7.0]])  # one within another
    starts, ends = 1e6 * seconds.T
    batch_ends = 1e6 * np.array([1.0, 2.0, 3.0, 6.0, 7.0])
    assert describe(starts, ends, batch_ends, 3) == [
        "| nucleotide | 2 | 2.00 | 5.00% | 100.00 |",
        "| protein | 1 | 1.00 | 0.00% |  |",
        "| chunk | 4 | 6.00 | 35.00% | 2000.00, 100.00 |",
    ]
