"""Leases on GPUs: real processes and locks, GPUs by name only."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace

import pynvml
import pytest

from virnucpro_kernels.embed.gpu import Gpu, are_alike
from virnucpro_kernels.embed.lease import lease
from virnucpro_kernels.embed.turn import GpuTurn
from virnucpro_kernels.errors import GpuMemoryError, UsageError
from virnucpro_kernels.files import try_lock
from virnucpro_kernels.pool.job_record import Job, read_job

UNITS = ["GPU-a", "GPU-b", "GPU-c"]
JOBS = 8


@pytest.fixture(autouse=True)
def _no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "as before")  # restored after each test


def test_no_gpu_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--device cpu"), lease([], tmp_path):
        pass


def test_where_no_locks_can_be_made_the_way_on_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="no locks can be made there"), lease(["a"], tmp_path / "file" / "leases"):
        pass


def test_the_lock_of_a_gpu_is_for_every_user(tmp_path: Path) -> None:
    mask = os.umask(0o077)
    try:
        with lease(["GPU-a", "GPU-b"], tmp_path / "leases") as held:
            for name in (f"{held.unit}.lock", f"{held.unit}.next.lock"):
                assert (tmp_path / "leases" / name).stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(mask)


def hold(units: list[str], directory: Path, pipe: Connection) -> None:
    with lease(units, directory) as held:
        pipe.send((held.unit, os.environ["CUDA_VISIBLE_DEVICES"], held.has_turn))
        held.wait_for_turn()
        pipe.send("turn")
        pipe.recv()


class Holder:
    """A process that takes a lease, says which, waits for its turn, and keeps it until released or killed."""

    def __init__(self, units: list[str], directory: Path) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("spawn").Process(target=hold, args=(units, directory, theirs))
        self.process.start()

    def unit(self) -> str:
        unit, visible, self.had_turn = self.pipe.recv()
        assert unit == visible
        return str(unit)

    def end(self) -> None:
        self.process.kill()
        self.process.join()


@pytest.fixture
def holders(tmp_path: Path) -> Iterator[list[Holder]]:
    holders = [Holder(["GPU-a", "MIG-b"], tmp_path / "leases") for _ in range(3)]
    yield holders
    for holder in holders:
        holder.end()


def test_no_two_processes_have_the_same_gpu_and_a_killed_one_frees_its_own(holders: list[Holder]) -> None:
    leased: dict[Holder, str] = {}
    while len(leased) < 2:
        ready = multiprocessing.connection.wait(
            [holder.pipe for holder in holders if holder not in leased], timeout=300
        )
        assert ready, "nobody has another GPU"
        leased |= {holder: holder.unit() for holder in holders if holder.pipe in ready}
    assert set(leased.values()) == {"GPU-a", "MIG-b"}
    (last,) = set(holders) - set(leased)
    assert not last.pipe.poll(0.2)
    killed, unit = leased.popitem()
    killed.process.kill()
    assert last.unit() == unit


def test_a_job_waits_for_the_only_gpu_too(tmp_path: Path) -> None:
    holders = [Holder(["GPU-a"], tmp_path / "leases") for _ in range(2)]
    try:
        (first,) = multiprocessing.connection.wait([holder.pipe for holder in holders], timeout=300)
        holder, waiting = sorted(holders, key=lambda holder: holder.pipe is not first)
        assert holder.unit() == "GPU-a"
        assert not waiting.pipe.poll(0.5)
        assert holder.pipe.recv() == "turn"
        holder.pipe.send("done")
        assert waiting.unit() == "GPU-a"
    finally:
        for holder in holders:
            holder.end()


def set_driver(monkeypatch: pytest.MonkeyPatch, *, mode: int, free: int) -> None:
    """Have the driver say so much of every GPU."""
    answers: dict[str, Callable[..., object]] = {
        "Init": lambda: None,
        "Shutdown": lambda: None,
        "DeviceGetCount": lambda: 1,
        "DeviceGetHandleByIndex": str,
        "DeviceGetHandleByUUID": str,
        "DeviceGetUUID": lambda _: "GPU-a",
        "DeviceGetName": lambda _: "product",
        "DeviceGetMigMode": lambda _: (0, 0),
        "DeviceIsMigDeviceHandle": lambda _: False,
        "DeviceGetComputeMode": lambda _: mode,
        "DeviceGetMemoryInfo": lambda _: SimpleNamespace(free=free, used=1),
        "DeviceGetUtilizationRates": lambda _: SimpleNamespace(gpu=1),
        "DeviceGetTemperature": lambda *_: 30,
        "DeviceGetPowerUsage": lambda _: 1000,
        "DeviceGetTotalEnergyConsumption": lambda _: 1000,
        "SystemGetDriverVersion": lambda: "1",
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, f"nvml{name}", answer)


def test_the_next_job_gets_its_place_while_the_gpu_computes_and_its_turn_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_driver(monkeypatch, mode=pynvml.NVML_COMPUTEMODE_DEFAULT, free=100)
    others: list[Holder] = []
    try:
        with lease(["GPU-a"], tmp_path) as held:
            assert held.has_turn
            others += [Holder(["GPU-a"], tmp_path) for _ in range(2)]
            assert not multiprocessing.connection.wait([other.pipe for other in others], timeout=3)
            assert held.admit_next(100)
            assert not held.admit_next(100), "the place is given away once"
            (ready,) = multiprocessing.connection.wait([other.pipe for other in others], timeout=300)
            following, last = sorted(others, key=lambda other: other.pipe is not ready)
            assert (following.unit(), following.had_turn) == ("GPU-a", False)
            assert not following.pipe.poll(0.3), "no turn while another job computes"
        assert following.pipe.recv() == "turn"
        assert not last.pipe.poll(0.3), "no place: the job that computes has not given it away"
        following.end()
        assert last.unit() == "GPU-a"
    finally:
        for other in others:
            other.end()


@pytest.mark.parametrize(
    ("mode", "free"), [(pynvml.NVML_COMPUTEMODE_DEFAULT, 99), (pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS, 100)]
)
def test_no_place_is_given_away_where_two_processes_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, free: int
) -> None:
    set_driver(monkeypatch, mode=mode, free=free)
    with lease(["GPU-a"], tmp_path) as held:
        assert not held.admit_next(100)


def test_a_free_gpu_comes_before_the_place_at_a_busy_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_driver(monkeypatch, mode=pynvml.NVML_COMPUTEMODE_DEFAULT, free=100)
    with lease(["GPU-a"], tmp_path) as busy:
        assert busy.admit_next(100)
        with lease(["GPU-a", "GPU-b"], tmp_path) as free:
            assert (free.unit, free.has_turn) == ("GPU-b", True)
            with lease(["GPU-a", "GPU-b"], tmp_path) as after:
                assert (after.unit, after.has_turn) == ("GPU-a", False)


def test_among_gpus_of_several_kinds_no_job_binds_itself_to_a_busy_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_driver(monkeypatch, mode=pynvml.NVML_COMPUTEMODE_DEFAULT, free=100)
    with lease(["GPU-a"], tmp_path) as slow, lease(["GPU-b"], tmp_path) as fast:
        assert slow.admit_next(100)
        with lease(["GPU-a", "GPU-b"], tmp_path) as alike:
            assert (alike.unit, alike.has_turn) == ("GPU-a", False)
        ended = threading.Timer(0.5, fast.release)
        ended.start()
        with lease(["GPU-a", "GPU-b"], tmp_path, may_share=False) as other:
            assert (other.unit, other.has_turn) == ("GPU-b", True)
        ended.join()


def test_gpus_of_one_product_are_alike() -> None:
    gpus = [Gpu("GPU-a", "A"), Gpu("GPU-b", "A"), Gpu("GPU-c", "C"), Gpu("GPU-d", "A", ("MIG-1", "MIG-2"))]
    assert are_alike(gpus, ["GPU-a", "GPU-b"])
    assert are_alike(gpus, ["MIG-1"])
    assert not are_alike(gpus, ["GPU-b", "GPU-c"])
    assert not are_alike(gpus, ["MIG-1", "MIG-2"])


def test_a_job_admits_the_next_one_only_once_it_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_driver(monkeypatch, mode=pynvml.NVML_COMPUTEMODE_DEFAULT, free=1 << 60)
    place = tmp_path / "GPU-a.next.lock"
    with Job(tmp_path / "a.json", "embed") as job, lease(["GPU-a"], tmp_path) as held:
        assert held.admit_next(0)
        with lease(["GPU-a"], tmp_path) as following, GpuTurn(following, job) as later:
            later.loaded()
            assert try_lock(place) is None
            threading.Timer(0.1, held.release).start()
            assert later.begin(lambda: False)
            descriptor = try_lock(place)
            assert descriptor is not None
            os.close(descriptor)
            assert later.begin(lambda: True), "it has begun, and waits no more"
            later.end()
            with lease(["GPU-a"], tmp_path) as another:
                assert another.has_turn
                later.end()
                assert try_lock(tmp_path / "GPU-a.lock") is None, "it ends once"
    record = read_job(tmp_path / "a.json")
    assert record["device"] == "product"
    assert record["waited_seconds"] > 0


def test_an_error_of_the_gpu_is_not_hidden_by_another_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    set_driver(monkeypatch, mode=pynvml.NVML_COMPUTEMODE_DEFAULT, free=1 << 60)
    monkeypatch.setattr("torch.cuda.empty_cache", broken)
    with (
        pytest.raises(GpuMemoryError),
        Job(tmp_path / "a.json", "embed") as job,
        lease(["GPU-a"], tmp_path) as held,
        GpuTurn(held, job),
    ):
        raise GpuMemoryError("out of memory")
    record = read_job(tmp_path / "a.json")
    assert (record["device"], record["exit_code"]) == ("product", GpuMemoryError.exit_code)


def test_a_driver_that_stops_answering_is_no_error_for_a_job_that_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(_: str) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)

    set_driver(monkeypatch, mode=pynvml.NVML_COMPUTEMODE_DEFAULT, free=100)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", lost)
    with lease(["GPU-a"], tmp_path) as held:
        assert not held.admit_next(0)


def test_who_waits_for_a_turn_can_give_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def give_up() -> None:
        raise KeyboardInterrupt

    set_driver(monkeypatch, mode=pynvml.NVML_COMPUTEMODE_DEFAULT, free=100)
    with lease(["GPU-a"], tmp_path) as held:
        assert held.admit_next(100)
        with pytest.raises(KeyboardInterrupt), lease(["GPU-a"], tmp_path) as following:
            following.wait_for_turn(give_up)
        with lease(["GPU-a"], tmp_path) as another:
            assert not another.has_turn


def work(folder: Path, name: str, is_killed: bool) -> None:
    """A job: it waits for a GPU and notes when it had it, before it gives it back or is killed."""
    with lease(UNITS, folder / "leases") as held:
        held.wait_for_turn()
        assert os.environ["CUDA_VISIBLE_DEVICES"] == held.unit
        began = time.monotonic_ns()
        time.sleep(0.2)
        (folder / f"{name}.job").write_text(f"{held.unit} {began} {time.monotonic_ns()}")
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
