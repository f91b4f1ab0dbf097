"""The geometry of a pool as text: what it names stands in paths."""

import pytest

from virnucpro_kernels.pool.geometry import Geometry


@pytest.mark.parametrize(
    ("geometry", "text"),
    [
        (Geometry(500, "original"), "500-original"),
        (Geometry(300, "even"), "300-even"),
        (Geometry(500, "segments"), "500-segments"),
        (Geometry(500, "segments", 40), "500-segments-40"),
    ],
)
def test_the_text_says_all_and_defaults_are_left_out(geometry: Geometry, text: str) -> None:
    assert str(geometry) == text
    assert Geometry.parse(text) == geometry


def test_whole_frames_have_no_least_length() -> None:
    assert str(Geometry(500, "original", 40)) == "500-original"
