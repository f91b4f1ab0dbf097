"""How far a run is, in words."""

from dataclasses import replace

from tests.helpers.clock import Clock
from virnucpro_kernels.run.progress import Lines, State, describe

HALF = State(
    samples=2, samples_done=0, pools=1, pools_split=1, chunks=4, chunks_done=2, embedded=2, tokens=1000, tokens_done=500
)
DONE = replace(HALF, samples_done=2, chunks_done=4, embedded=4, tokens_done=1000)


def test_describe_says_what_is_done_and_what_is_left() -> None:
    assert describe(HALF, 120.0) == "2 of 4 chunks scored, 50 % embedded, 0 of 2 samples done, about 2 min left"
    assert describe(HALF, None).endswith("time left unknown yet")
    assert describe(replace(HALF, pools=3), 5).startswith("1 of 3 pools split, ")
    assert describe(replace(DONE, samples_done=1), 0.0).endswith("1 of 2 samples done, writing tables")
    assert describe(DONE, 0.0) == "4 of 4 chunks scored, 100 % embedded, 2 of 2 samples done"
    empty = State(1, 0, 1, 1, 0, 0, 0, 0, 0)
    assert "100 % embedded" in describe(empty, 0.0)


def test_lines_come_now_and_then_and_only_with_news() -> None:
    clock, written = Clock(), list[str]()
    lines = Lines(written.append, clock)
    lines.show(HALF, None)
    more = replace(HALF, chunks_done=3)
    clock.now = 5.0
    lines.show(more, 9.0)
    assert len(written) == 1, "too soon"
    clock.now = 31.0
    lines.show(HALF, None)
    assert len(written) == 1, "no news"
    lines.show(more, 9.0)
    clock.now = 32.0
    lines.show(DONE, 0.0)
    assert written == [describe(HALF, None), describe(more, 9.0), describe(DONE, 0.0)]
