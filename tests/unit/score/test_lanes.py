"""Calls in lanes: one after the other in a lane, lanes beside each other, and no error is lost."""

import threading
from collections import defaultdict

import pytest

from virnucpro_kernels.score.lanes import Lanes


@pytest.mark.parametrize("threads", [1, 2, 3, 9])
def test_calls_of_a_lane_keep_their_order(threads: int) -> None:
    made: dict[int, list[int]] = defaultdict(list)
    with Lanes(threads) as lanes:
        for call in range(200):
            lanes.run(call % 5, made[call % 5].append, call)
        lanes.wait()
        assert made == {lane: list(range(lane, 200, 5)) for lane in range(5)}
        lanes.run(3, made[3].append, -1)
    assert made[3][-1] == -1, "the end of the block waits too"


def test_lanes_run_beside_each_other() -> None:
    both = threading.Barrier(2, timeout=30)
    with Lanes(3) as lanes:
        lanes.run(0, both.wait)
        lanes.run(1, both.wait)


@pytest.mark.parametrize("threads", [1, 4])
def test_an_error_of_a_call_ends_the_block(threads: int) -> None:
    made: list[int] = []

    def work() -> None:
        with Lanes(threads) as lanes:
            lanes.run(0, int, "no number")
            for call in range(10):
                lanes.run(0, made.append, call)

    with pytest.raises(ValueError, match="no number"):
        work()
    assert len(made) < 10


def test_an_error_of_the_block_itself_is_the_one_that_is_raised() -> None:
    def work() -> None:
        with Lanes(2) as lanes:
            lanes.run(0, int, "no number")
            raise KeyError

    with pytest.raises(KeyError):
        work()


def test_no_thread_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Lanes(0)
