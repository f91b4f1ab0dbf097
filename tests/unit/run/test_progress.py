"""How far a run is, in words."""

from dataclasses import replace

from tests.helpers.clock import Clock
from virnucpro_kernels.run.progress import Lines, State, describe

HALF = State(
    samples=2,
    samples_done=0,
    pools=1,
    pools_split=1,
    chunks=4,
    chunks_done=2,
    embedded=2,
    tokens=1000,
    tokens_done=500,
    bases=3_000_000,
)
DONE = replace(HALF, samples_done=2, chunks_done=4, embedded=4, tokens_done=1000)


def test_describe_says_what_is_done_and_what_is_left() -> None:
    assert describe(HALF, "about 2 min left") == "50 % of 3.0 Mbp, about 2 min left; 2/4 chunks, 0/2 samples"
    assert describe(replace(HALF, pools=3), "x").endswith("; 1/3 pools split, 0/2 samples")
    assert describe(replace(DONE, samples_done=1), "x") == "100 % of 3.0 Mbp, writing tables; 4/4 chunks, 1/2 samples"
    assert describe(DONE, "x") == "100 % of 3.0 Mbp, done; 4/4 chunks, 2/2 samples"
    empty = State(1, 0, 1, 1, 0, 0, 0, 0, 0, 0)
    assert describe(empty, "x").startswith("100 % of 0 kbp, writing tables")


def test_a_line_fits_the_terminal_for_any_number_of_pools() -> None:
    large = State(2000, 1000, 1500, 1499, 10_000, 9_999, 9_999, 10**11, 10**10, 3 * 10**11)
    for state in (large, replace(large, pools_split=1500)):
        assert len(describe(state, "about 101 h left")) <= 80


def test_lines_come_now_and_then_and_only_with_news() -> None:
    clock, written = Clock(), list[str]()
    lines = Lines(written.append, clock)
    lines.show(HALF, "a")
    more = replace(HALF, chunks_done=3)
    clock.now = 5.0
    lines.show(more, "b")
    assert len(written) == 1, "too soon"
    clock.now = 31.0
    lines.show(HALF, "b")
    assert len(written) == 1, "no news"
    lines.show(more, "b")
    clock.now = 32.0
    lines.show(DONE, "c")
    assert written == [describe(HALF, "a"), describe(more, "b"), describe(DONE, "c")]
