"""Plain and centred cosines."""

import numpy as np
import pytest

from virnucpro_kernels.models.similarity import cosines


def test_what_all_vectors_have_in_common_hides_errors_from_the_plain_cosine() -> None:
    rng = np.random.default_rng(0)
    exact = 10 + rng.normal(size=(500, 300))
    found = exact + rng.normal(size=exact.shape)
    near = cosines(found.astype(np.float32), exact.astype(np.float32))
    assert near.mean == pytest.approx(101 / (101 * 102) ** 0.5, abs=1e-3)
    assert near.centred_mean == pytest.approx(0.5**0.5, abs=0.01)
    assert near.worst < near.mean
    assert near.centred_worst < near.centred_mean


def test_equal_vectors_have_a_cosine_of_one_and_opposite_ones_of_minus_one() -> None:
    vectors = np.array([[1.0, 2.0], [0.0, 0.0], [-3.0, 1.0]])
    assert cosines(vectors, vectors) == pytest.approx((1, 1, 1, 1))
    assert cosines(-vectors, vectors).worst == pytest.approx(-1)
