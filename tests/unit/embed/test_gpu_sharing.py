"""Jobs of two runs share the GPUs of a machine: real processes and locks, GPUs by name only."""

import multiprocessing
import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest

from virnucpro_kernels.embed.gpu import lease

UNITS = ["GPU-a", "GPU-b", "GPU-c"]
JOBS = 8


def work(folder: Path, name: str, is_killed: bool) -> None:
    """A job: it waits for a GPU and notes when it had it, before it gives it back or is killed."""
    with lease(UNITS, folder / "leases") as unit:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == unit
        began = time.monotonic_ns()
        time.sleep(0.2)
        (folder / f"{name}.job").write_text(f"{unit} {began} {time.monotonic_ns()}")
        if is_killed:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_two_runs_share_all_gpus_and_no_two_jobs_one(tmp_path: Path) -> None:
    """And: a job that is killed gives its GPU back."""
    context = multiprocessing.get_context("spawn")
    jobs = [
        context.Process(target=work, args=(tmp_path, f"{run}{number}", number == 2))
        for number in range(JOBS)
        for run in ("one", "other")
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert sorted(job.exitcode or 0 for job in jobs) == [-signal.SIGKILL] * 2 + [0] * (len(jobs) - 2)
    spans: dict[str, list[tuple[int, int]]] = {unit: [] for unit in UNITS}
    for path in tmp_path.glob("*.job"):
        unit, began, ended = path.read_text().split()
        spans[unit].append((int(began), int(ended)))
    assert sum(map(len, spans.values())) == len(jobs)
    assert all(spans.values()), "no GPU idles while jobs wait"
    for of_unit in spans.values():
        assert all(ended <= began for (_, ended), (began, _) in pairwise(sorted(of_unit)))
