"""How far a run is, in words, and the estimate of the time left."""

from dataclasses import replace

import pytest

from virnucpro_kernels.pool.job_record import TimeLeft, duration
from virnucpro_kernels.run.progress import Lines, State, describe

HALF = State(
    samples=2, samples_done=0, pools=1, pools_split=1, chunks=4, chunks_done=2, embedded=2, tokens=1000, tokens_done=500
)
DONE = replace(HALF, samples_done=2, chunks_done=4, embedded=4, tokens_done=1000)


class Time:
    """A clock that stands until it is told to move."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_time_left_follows_from_the_rate_since_the_start() -> None:
    time = Time()
    left = TimeLeft(time)
    assert left.seconds(200, 1000) is None
    time.now = 30.0
    assert left.seconds(200, 1000) is None
    assert left.seconds(500, 1000) == pytest.approx(50.0)
    assert left.seconds(1000, 1000) == 0


def test_describe_says_what_is_done_and_what_is_left() -> None:
    assert describe(HALF, 120.0) == "2 of 4 chunks scored, 50 % embedded, 0 of 2 samples done, about 2 min left"
    assert describe(HALF, None).endswith("time left unknown yet")
    assert describe(replace(HALF, pools=3), 5).startswith("1 of 3 pools split, ")
    assert describe(replace(DONE, samples_done=1), 0.0).endswith("1 of 2 samples done, writing tables")
    assert describe(DONE, 0.0) == "4 of 4 chunks scored, 100 % embedded, 2 of 2 samples done"
    empty = State(1, 0, 1, 1, 0, 0, 0, 0, 0)
    assert "100 % embedded" in describe(empty, 0.0)


@pytest.mark.parametrize(
    ("seconds", "words"), [(8, "8 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (12_000, "3 h 20 min")]
)
def test_durations_are_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_lines_come_now_and_then_and_only_with_news() -> None:
    time, written = Time(), list[str]()
    lines = Lines(written.append, time)
    lines.show(HALF, None)
    more = replace(HALF, chunks_done=3)
    time.now = 5.0
    lines.show(more, 9.0)
    assert len(written) == 1, "too soon"
    time.now = 31.0
    lines.show(HALF, None)
    assert len(written) == 1, "no news"
    lines.show(more, 9.0)
    time.now = 32.0
    lines.show(DONE, 0.0)
    assert written == [describe(HALF, None), describe(more, 9.0), describe(DONE, 0.0)]
