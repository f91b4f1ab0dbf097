"""`benchmarks/schedule.py` simulates what Snakemake does with chunks and GPUs."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.predictions import equal_chunks, graded_chunks, guided_chunks
from benchmarks.schedule import Costs, fit, fit_speeds, simulate
from benchmarks.timeline import EmbedJob, Timeline

COSTS = Costs(
    rate=100.0, first_start=7.0, start=5.0, handover=1.0, complete=0.5, plan=4.0,
    split_per_token=0.001, score_per_token=0.002, collect_per_token=0.003, finish=20.0,
)  # fmt: skip
NO_COSTS = replace(COSTS, first_start=0.0, start=0.0, handover=0.0, complete=0.0)
CHUNKS = st.lists(st.integers(1, 100_000), min_size=1, max_size=40)
SPEEDS = st.lists(st.floats(0.25, 4.0), min_size=1, max_size=12)


@given(CHUNKS)
def test_one_gpu_takes_the_sum_of_all_works_and_starts(chunks: list[int]) -> None:
    run = simulate(chunks, [1.0], COSTS)
    embedding = sum(chunks) / 100 + 7 + 6 * (len(chunks) - 1) + 0.5
    assert run.embed_seconds == pytest.approx(embedding)
    around = 4 + 20 + 0.004 * sum(chunks) + 0.002 * min(chunks)  # the smallest chunk comes last
    assert run.seconds == pytest.approx(embedding + around)


@given(CHUNKS, SPEEDS)
def test_no_schedule_beats_the_work_shared_by_all_gpus_or_the_largest_chunk(
    chunks: list[int], speeds: list[float]
) -> None:
    run = simulate(chunks, speeds, COSTS)
    bounds = sum(chunks) / 100 / sum(speeds), 5 + max(chunks) / 100 / max(speeds)
    assert run.embed_seconds >= max(bounds) * (1 - 1e-9)
    assert sorted(job.chunk for job in run.jobs) == list(range(len(chunks)))
    assert 0 < run.busy() <= 1
    assert 0 <= run.idle_before_last() <= 1


@given(CHUNKS, st.integers(1, 12))
def test_equal_gpus_end_within_a_chunk_of_the_best(chunks: list[int], gpus: int) -> None:
    # Graham's bound for any order of giving out; a longer one first keeps it to 4/3.
    run = simulate(chunks, [1.0] * gpus, NO_COSTS)
    ordered = sorted(chunks, reverse=True)
    best = max(sum(chunks) / gpus, ordered[0], sum(ordered[gpus - 1 : gpus + 1]) if len(chunks) > gpus else 0) / 100
    assert run.embed_seconds <= 4 / 3 * best * (1 + 1e-9)


def test_the_longest_chunk_goes_to_the_gpu_that_is_free_first() -> None:
    run = simulate(
        [100, 400, 300, 200], [1.0, 1.0], replace(COSTS, first_start=0.0, start=0.0, handover=0.0, complete=0.0)
    )
    assert [(job.chunk, job.worker, job.start, job.end) for job in run.jobs] == [
        (1, 0, 0.0, 4.0),
        (2, 1, 0.0, 3.0),
        (3, 1, 3.0, 5.0),
        (0, 0, 4.0, 5.0),
    ]
    # GPU 0 computed all of the four seconds before the last start, and so did GPU 1.
    assert (run.embed_seconds, run.busy(), run.idle_before_last()) == (5.0, 1.0, 0.0)


def test_a_start_is_idle_time() -> None:
    run = simulate([500, 500, 500, 500], [1.0, 1.0], COSTS)
    # Jobs: 0 to 12 (first batch at 7), then 13 to 23; the last is given out at 13 s, of which 5 were computing.
    assert run.embed_seconds == 23.5
    assert run.idle_before_last() == pytest.approx(8 / 13)
    assert run.busy() == pytest.approx(20 / 47)


def test_submissions_and_the_limit_of_jobs_hold_gpus_back() -> None:
    chunks = [1000] * 4
    late = simulate(chunks, [1.0] * 4, replace(COSTS, submit=2.0))
    assert [job.start for job in late.jobs] == [0, 2, 4, 6]
    few = simulate(chunks, [1.0] * 4, replace(COSTS, queue=2))
    assert few.embed_seconds == simulate(chunks, [1.0] * 2, COSTS).embed_seconds


def test_costs_and_speeds_of_a_simulated_run_are_found_again() -> None:
    tokens = [4000, 3000, 3000, 2000, 2000, 1000]
    speeds = [1.1, 0.9]
    simulated = simulate(tokens, speeds, COSTS)
    split = 0.001 * sum(tokens)
    begin = COSTS.plan + split
    jobs = [
        EmbedJob(str(job.chunk), f"GPU-{job.worker}", tokens[job.chunk], begin + job.start, begin + job.first_batch,
                 begin + job.end, begin + job.end + 0.5, 0.0, 0.0, 0.0, 0.0)
        for job in simulated.jobs
    ]  # fmt: skip
    worked = {"split": split, "merge": 15.0, "classify": 15.0, "collect": 45.0}
    run = Timeline(simulated.seconds, 1.0, split, {}, worked, jobs)
    costs = fit([run])
    # Fast and slow GPU computed different shares, so that the mean rate lies between theirs; their ratio is found.
    fast, slow = fit_speeds(run, costs)
    assert fast / slow == pytest.approx(1.1 / 0.9)
    for name in (
        "first_start",
        "start",
        "handover",
        "complete",
        "plan",
        "split_per_token",
        "score_per_token",
        "collect_per_token",
    ):
        assert getattr(costs, name) == pytest.approx(getattr(COSTS, name)), name
    again = simulate(tokens, [fast, slow], costs)
    assert again.embed_seconds == pytest.approx(run.embed_seconds)


def test_chunks_of_predictions_hold_all_tokens() -> None:
    tokens = 52 * 100_000
    plans = equal_chunks(tokens, 1_000_000), graded_chunks(tokens, 1_000_000, 100_000, 0.25)
    for chunks in (*plans, guided_chunks(tokens, 1_000_000), guided_chunks(tokens, 200_000)):
        assert sum(chunks) == pytest.approx(tokens, rel=1e-4)
        assert max(chunks) <= 1_000_000 + 52


def test_guided_chunks_shrink_in_rounds_that_eight_gpus_share() -> None:
    chunks = guided_chunks(52 * 1_000_000, 1_000_000)
    assert len(chunks) % 8 == 0
    assert all(before >= after for before, after in pairwise(chunks[:-8]))
    assert chunks[0] == 1_000_000
    assert max(chunks[-8:]) - min(chunks[-8:]) <= 52, "the last eight end together"
    assert min(chunks) >= 1_000_000 // 8


def test_costs_need_a_run() -> None:
    with pytest.raises(ValueError, match="no runs"):
        fit([])
