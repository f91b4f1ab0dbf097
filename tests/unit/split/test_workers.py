"""Workers: results are in order, errors arrive, and no process and no semaphore is left."""

import os
import re
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

#: Seconds after which a test gives up waiting for a process, on a machine that may be busy.
LIMIT = 300


def square(number: int) -> int:
    if number % 7 == 0:
        time.sleep(0.01)
    return number * number


def process_of(_: int) -> int:
    time.sleep(0.005)  # so that one process cannot take all tasks before the other has started
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
    pids: set[int] = set()
    with Workers(2) as workers:
        for _, pid in workers.map(process_of, ((None, n) for n in range(50_000))):
            pids.add(pid)
            if len(pids) == 2:
                break
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


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_a_run_that_was_stopped(tmp_path: Path, end: signal.Signals) -> None:
    """An interrupt goes to all processes, as a terminal sends it; the other signals only to the parent."""
    script = tmp_path / "parent.py"
    script.write_text(
        "import time\n"
        "from virnucpro_kernels.split.workers import Workers\n"
        "if __name__ == '__main__':\n"
        "    with Workers(2) as workers:\n"
        "        for _ in workers.map(time.sleep, ((None, 0.01) for _ in range(100_000))):\n"
        "            print('working', flush=True)\n"
    )
    pipe = subprocess.PIPE
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=pipe,
        stderr=pipe,
        text=True,
        start_new_session=True,
        # Whoever starts the tests in the background of a shell has them and their children ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert parent.stdout is not None
    parent.stdout.readline()
    children = psutil.Process(parent.pid).children(recursive=True)
    semaphores = set(re.findall(r"/dev/shm/\S+", Path(f"/proc/{parent.pid}/maps").read_text()))
    assert len(children) > 1
    assert semaphores
    if end is signal.SIGINT:
        os.killpg(parent.pid, end)
    else:
        parent.send_signal(end)
    _, messages = parent.communicate(timeout=LIMIT)
    _, alive = psutil.wait_procs(children, timeout=LIMIT)
    assert not alive
    assert not any(Path(semaphore).exists() for semaphore in semaphores)
    if end is signal.SIGINT:
        assert messages.count("Traceback") == 1  # the parent's own
        assert messages.endswith("KeyboardInterrupt\n")
    else:
        assert messages == ""


def test_an_interrupt_is_for_the_parent_alone() -> None:
    """The terminal sends it to all; a process that is still starting must not fail either."""
    before = psutil.Process().children()
    with Workers(2) as workers:
        started = [child for child in psutil.Process().children() if child not in before]
        assert len(started) >= 2
        for child in started:
            child.send_signal(signal.SIGINT)
        squares = [result for _, result in workers.map(square, ((None, n) for n in range(20)))]
        assert squares == [n * n for n in range(20)]


def test_processes_of_split_start_without_heavy_libraries() -> None:
    """Each of them imports what `split` does, which takes longer than the work on a small input."""
    code = (
        "import sys, virnucpro_kernels.split.split; print(*{'pyarrow', 'torch', 'h5py', 'pandas'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
