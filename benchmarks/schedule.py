"""The schedule of embedding jobs: chunks by size, workers of unequal speed, and what a job costs beside computing.

Snakemake gives the longest chunk that is left to the GPU that becomes free first. `simulate` does the same with the
costs that `fit` finds in measured runs, and says how long other inputs and other numbers of GPUs would take.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from benchmarks.timeline import Timeline


@dataclass(frozen=True)
class Costs:
    """Costs of a run, in seconds but for the rate.

    Attributes:
        rate: Protein tokens a second of a GPU of speed 1, DNABERT-S included.
        first_start: From the start of a job that is the first on its GPU to its first batch.
        start: The same of every other job, which got ready while the one before it computed.
        handover: From the last vector of a job to the start of the next on the same GPU.
        complete: From the last vector of a job to its complete files, while the GPU is free for the next.
        plan: From the start of the command to the first job but for `split`.
        split_per_token, collect_per_token: `split` and `collect`, for each protein token of the input.
        score_per_token: `merge` and `classify`, for each of the last chunk.
        finish: From the last vector to the end of the command, but for the work of these three.
        submit: Interval between two submissions; 0 on one machine.
        queue: Most jobs that are submitted at once; 0 for no limit.
    """

    rate: float
    first_start: float
    start: float
    handover: float
    complete: float
    plan: float
    split_per_token: float
    score_per_token: float
    collect_per_token: float
    finish: float
    submit: float = 0.0
    queue: int = 0


@dataclass(frozen=True)
class SimulatedJob:
    """A chunk on a worker; seconds since the first job could start.

    Attributes:
        chunk, worker: Their places in the lists that `simulate` got.
        start, first_batch, end: When the job starts, computes, and has its last vector.
    """

    chunk: int
    worker: int
    start: float
    first_batch: float
    end: float


@dataclass(frozen=True)
class Schedule:
    """A simulated run.

    Attributes:
        jobs: Jobs in the order of their start.
        embed_seconds: From the first start of a job to the last complete files.
        seconds: The whole command.
        workers: Number of workers that there were.
    """

    jobs: tuple[SimulatedJob, ...]
    embed_seconds: float
    seconds: float
    workers: int

    def busy(self) -> float:
        """Return the fraction of the workers' time, until the last files are complete, in which they computed."""
        return sum(job.end - job.first_batch for job in self.jobs) / (self.workers * self.embed_seconds)

    def idle_before_last(self) -> float:
        """Return the greatest fraction of a worker's time in which it did not compute before the last job started."""
        until = max(job.start for job in self.jobs)
        if until == 0:
            return 0.0
        computed = [0.0] * self.workers
        for job in self.jobs:
            computed[job.worker] += max(min(job.end, until) - min(job.first_batch, until), 0.0)
        return 1 - min(computed) / until


def simulate(tokens: Sequence[int], speeds: Sequence[float], costs: Costs) -> Schedule:
    """Return the schedule of chunks on workers.

    Args:
        tokens: Protein tokens of each chunk, one at least.
        speeds: Speed of each worker, 1 being that of `costs.rate`.
        costs: What a job and a run cost.
    """
    at_work = len(speeds) if not costs.queue else min(costs.queue, len(speeds))
    free = [(0.0, worker) for worker in range(at_work)]
    jobs, begun = [], set[int]()
    longest_first = sorted(range(len(tokens)), key=lambda chunk: -tokens[chunk])
    for place, chunk in enumerate(longest_first):
        free_at, worker = heapq.heappop(free)
        start = max(free_at, place * costs.submit)
        first_batch = start + (costs.start if worker in begun else costs.first_start)
        begun.add(worker)
        end = first_batch + tokens[chunk] / (costs.rate * speeds[worker])
        jobs.append(SimulatedJob(chunk, worker, start, first_batch, end))
        heapq.heappush(free, (end + costs.handover, worker))
    jobs.sort(key=lambda job: job.start)
    embed_seconds = max(job.end for job in jobs) + costs.complete
    last = max(jobs, key=lambda job: job.end).chunk
    around = costs.plan + costs.finish + costs.score_per_token * tokens[last]
    around += (costs.split_per_token + costs.collect_per_token) * sum(tokens)
    return Schedule(tuple(jobs), embed_seconds, around + embed_seconds, len(speeds))


def fit(runs: Sequence[Timeline]) -> Costs:
    """Return the mean costs of measured runs; the rate is that of all their tokens over all their computing time.

    Raises:
        ValueError: there is no run.
    """
    if not runs:
        raise ValueError("no runs to fit costs to")
    jobs = [job for run in runs for job in run.jobs]
    by_gpu = [of_gpu for run in runs for of_gpu in run.by_gpu().values()]
    handovers = [after.start - before.end for of_gpu in by_gpu for before, after in pairwise(of_gpu)]
    first_starts = [of_gpu[0].first_batch - of_gpu[0].start for of_gpu in by_gpu]
    starts = [job.first_batch - job.start for of_gpu in by_gpu for job in of_gpu[1:]] or first_starts
    tokens = sum(run.tokens for run in runs)
    score_per_token, collect_per_token, split_per_token = (
        sum(run.worked[stage] for run in runs for stage in stages) / tokens
        for stages in (("merge", "classify"), ("collect",), ("split",))
    )
    finishes = [
        run.seconds - run.embed_end - collect_per_token * run.tokens - score_per_token * run.tokens / len(run.jobs)
        for run in runs
    ]
    return Costs(
        rate=sum(job.tokens for job in jobs) / sum(job.end - job.first_batch for job in jobs),
        first_start=fmean(first_starts),
        start=fmean(starts),
        handover=fmean(handovers) if handovers else 0.0,
        complete=fmean(job.complete - job.end for job in jobs),
        plan=fmean(run.embed_start - run.split_seconds for run in runs),
        split_per_token=split_per_token,
        score_per_token=score_per_token,
        collect_per_token=collect_per_token,
        finish=fmean(finishes),
    )


def fit_speeds(run: Timeline, costs: Costs) -> list[float]:
    """Return the speed of each GPU of a run, 1 being that of `costs.rate`."""
    return [
        sum(job.tokens for job in jobs) / sum(job.end - job.first_batch for job in jobs) / costs.rate
        for jobs in run.by_gpu().values()
    ]
