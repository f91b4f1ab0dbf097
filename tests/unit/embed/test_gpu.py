"""Choosing GPUs, and sampling sensors."""

import time

import pynvml
import pytest

from virnucpro_kernels.embed.gpu import Gpu, list_gpus, visible_units
from virnucpro_kernels.embed.gpu_monitor import GpuMonitor, Sampler, summarise
from virnucpro_kernels.errors import UsageError

WHOLE = [Gpu("GPU-aaaa-1", "A"), Gpu("GPU-aabb-2", "A"), Gpu("GPU-cccc-3", "A")]
DIVIDED = [Gpu("GPU-aaaa-1", "A", ("MIG-1111", "MIG-1122")), Gpu("GPU-bbbb-2", "A")]


@pytest.fixture(autouse=True)
def _no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "as before")  # restored after each test


@pytest.mark.parametrize(
    ("gpus", "setting", "units"),
    [
        (WHOLE, None, ["GPU-aaaa-1", "GPU-aabb-2", "GPU-cccc-3"]),
        (WHOLE, "", []),
        (WHOLE, "-1", []),
        (WHOLE, "2,0", ["GPU-cccc-3", "GPU-aaaa-1"]),
        (WHOLE, "1,-1,0", ["GPU-aabb-2"]),
        (WHOLE, "GPU-aab, GPU-cccc-3", ["GPU-aabb-2", "GPU-cccc-3"]),
        (WHOLE, "0,0", ["GPU-aaaa-1"]),
        (DIVIDED, None, ["MIG-1111", "MIG-1122", "GPU-bbbb-2"]),
        (DIVIDED, "0", ["MIG-1111", "MIG-1122"]),
        (DIVIDED, "MIG-1122", ["MIG-1122"]),
        ([], None, []),
    ],
)
def test_visible_units(gpus: list[Gpu], setting: str | None, units: list[str]) -> None:
    assert visible_units(gpus, setting) == units


@pytest.mark.parametrize(("gpus", "setting"), [(WHOLE, "3"), (WHOLE, "GPU-a"), (DIVIDED, "MIG-2"), ([], "0")])
def test_a_gpu_that_is_not_there_is_an_error(gpus: list[Gpu], setting: str) -> None:
    with pytest.raises(UsageError, match=f"CUDA_VISIBLE_DEVICES={setting}"):
        visible_units(gpus, setting)


def test_the_machine_can_be_asked() -> None:
    for gpu in list_gpus():
        assert gpu.uuid.startswith("GPU-")
        assert gpu.name


def test_a_driver_that_does_not_work_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def mismatch() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)

    monkeypatch.setattr(pynvml, "nvmlInit", mismatch)
    with pytest.raises(UsageError, match=r"the NVIDIA driver does not answer .* the machine has to be restarted"):
        list_gpus()


@pytest.mark.parametrize(
    ("error", "units", "second"),
    [
        (pynvml.NVML_ERROR_GPU_IS_LOST, ["GPU-0", "GPU-2"], []),  # it keeps its number
        (pynvml.NVML_ERROR_NO_PERMISSION, ["GPU-0", "GPU-2"], ["GPU-2"]),  # CUDA does not count it
    ],
)
def test_a_gpu_that_does_not_answer_keeps_nobody_from_the_others(
    monkeypatch: pytest.MonkeyPatch, error: int, units: list[str], second: list[str]
) -> None:
    def handle(index: int) -> int:
        if index == 1:
            raise pynvml.NVMLError(error)
        return index

    def no_parts(_: int) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    answers = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 3,
        "nvmlDeviceGetHandleByIndex": handle,
        "nvmlDeviceGetUUID": lambda handle: f"GPU-{handle}",
        "nvmlDeviceGetName": lambda handle: "A",
        "nvmlDeviceGetMigMode": no_parts,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)
    assert visible_units(list_gpus(), None) == units
    assert visible_units(list_gpus(), "1") == second


def test_a_gpu_that_is_lost_while_it_is_watched_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)

    for name in ("Init", "DeviceGetHandleByUUID", "DeviceIsMigDeviceHandle"):
        monkeypatch.setattr(pynvml, f"nvml{name}", lambda *_: None)
    for name in ("DeviceGetUtilizationRates", "DeviceGetMemoryInfo", "DeviceGetTemperature", "DeviceGetPowerUsage"):
        monkeypatch.setattr(pynvml, f"nvml{name}", lost)
    for name in ("DeviceGetTotalEnergyConsumption", "DeviceGetName", "SystemGetDriverVersion", "Shutdown"):
        monkeypatch.setattr(pynvml, f"nvml{name}", lost)
    monitor = GpuMonitor("GPU-a", 0.01)
    with pytest.raises(ZeroDivisionError), monitor:
        raise ZeroDivisionError
    assert monitor.summary() == {"gpu": None, "gpu_uuid": "GPU-a", "driver": None}


def test_a_block_that_is_shorter_than_the_interval_has_a_sample_at_either_end() -> None:
    clock = iter(range(1000))
    with Sampler(lambda: {"energy": float(next(clock))}, 3600) as sampler:
        assert sampler.values("energy") == [0.0]
    assert sampler.values("energy") == [0.0, 1.0]


def test_samples_are_taken_at_the_start_while_it_runs_and_at_the_end() -> None:
    clock = iter(range(1000))

    def read() -> dict[str, float]:
        tick = float(next(clock))
        return {"energy": 10 * tick, "power": tick % 2} | ({"memory": tick} if tick != 1 else {})

    with Sampler(read, 0.01) as sampler:
        while len(sampler.readings) < 4:
            time.sleep(0.01)
    last = len(sampler.readings) - 1
    assert sampler.values("energy") == [10.0 * tick for tick in range(last + 1)]
    assert len(sampler.values("memory")) == last
    summary = summarise(sampler)
    assert summary["gpu_energy_joules"] == 10 * last
    assert summary["gpu_memory_peak_bytes"] == last
    assert 0 < summary["gpu_power_mean_watts"] < 1
    assert "gpu_utilisation_percent" not in summary
