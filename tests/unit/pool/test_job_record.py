"""The estimate of the time that a job has left, and durations in words."""

import pytest

from tests.helpers.clock import Clock
from virnucpro_kernels.pool.job_record import TimeLeft, duration


def test_the_time_left_follows_from_the_rate_since_the_start() -> None:
    clock = Clock()
    left = TimeLeft(clock)
    assert left.seconds(200, 1000) is None
    clock.now = 30.0
    assert left.seconds(200, 1000) is None
    assert left.seconds(500, 1000) == pytest.approx(50.0)
    assert left.seconds(1000, 1000) == 0
    assert TimeLeft(clock).seconds(5, 5) == 0, "also where all is done at the first call"


@pytest.mark.parametrize(
    ("seconds", "words"), [(8, "8 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (12_000, "3 h 20 min")]
)
def test_durations_are_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
