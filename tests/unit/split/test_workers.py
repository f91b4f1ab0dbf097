"""Workers: results in order, errors that arrive, and no process left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from virnucpro_kernels.errors import DamagedFileError, VirnucproError
from virnucpro_kernels.split.workers import Workers


def square(number: int) -> int:
    if number % 7 == 0:
        time.sleep(0.01)
    return number * number


def process_of(_: int) -> int:
    time.sleep(0.005)
    return os.getpid()


def refuse(number: int) -> int:
    if number == 11:
        raise DamagedFileError("number 11 is damaged")
    return number


def die(parent: int) -> int:
    assert os.getpid() != parent
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


@pytest.mark.parametrize("processes", [1, 3])
def test_results_come_in_order_with_their_context(processes: int) -> None:
    with Workers(processes) as workers:
        for _ in range(2):
            found = list(workers.map(square, ((f"task {n}", n) for n in range(100))))
            assert found == [(f"task {n}", n * n) for n in range(100)]
        assert list(workers.map(square, [])) == []


def test_all_processes_work() -> None:
    with Workers(2) as workers:
        pids = {pid for _, pid in workers.map(process_of, ((None, n) for n in range(200)))}
    assert len(pids - {os.getpid()}) == 2
    with Workers(1) as workers:
        assert next(workers.map(process_of, [(None, 0)])) == (None, os.getpid())


def test_tasks_are_taken_as_they_are_needed() -> None:
    taken = 0

    def tasks() -> Iterator[tuple[None, int]]:
        nonlocal taken
        for number in range(10_000):
            taken += 1
            yield None, number

    with Workers(2) as workers:
        results = workers.map(square, tasks())
        next(results)
        assert taken < 100


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_of_a_task_arrives(processes: int) -> None:
    with Workers(processes) as workers, pytest.raises(DamagedFileError, match="number 11"):
        list(workers.map(refuse, ((None, n) for n in range(50))))


def test_a_killed_process_is_an_error() -> None:
    with Workers(2) as workers, pytest.raises(VirnucproError, match="worker process was killed"):
        list(workers.map(die, ((None, os.getpid()) for _ in range(50))))


def test_processes_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import time\n"
        "from virnucpro_kernels.split.workers import Workers\n"
        "if __name__ == '__main__':\n"
        "    with Workers(2) as workers:\n"
        "        for _ in workers.map(time.sleep, ((None, 0.01) for _ in range(100_000))):\n"
        "            print('working', flush=True)\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    parent.stdout.readline()
    children = psutil.Process(parent.pid).children(recursive=True)
    assert children
    parent.kill()
    parent.wait()
    gone, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
    assert gone


def test_an_interrupt_is_for_the_parent_alone() -> None:
    """The terminal sends it to all; whoever is still starting must not fall over either."""
    before = psutil.Process().children()
    with Workers(2) as workers:
        started = [child for child in psutil.Process().children() if child not in before]
        assert len(started) == 2
        for child in started:
            child.send_signal(signal.SIGINT)
        assert [result for _, result in workers.map(square, ((None, n) for n in range(20)))] == [
            n * n for n in range(20)
        ]


def test_processes_of_split_start_without_heavy_libraries() -> None:
    """Each of them imports what `split` does, and a small input waits for that longer than for the work."""
    code = (
        "import sys, virnucpro_kernels.split.split; print(*{'pyarrow', 'torch', 'h5py', 'pandas'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
