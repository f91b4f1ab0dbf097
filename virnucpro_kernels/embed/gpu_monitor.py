"""A monitor of one GPU while a job works: utilisation, memory, temperature, power and energy."""

import statistics
import threading
from collections.abc import Callable, Mapping
from typing import Any, Self

import pynvml

from virnucpro_kernels.embed.gpu import answer_or_none, no_answer


class Sampler:
    """Context manager that reads a set of sensors every `interval_seconds`, in a thread of its own.

    Attributes:
        readings: Values of the sensors in order; the first at the start, the last at the end of the block.
    """

    def __init__(self, read: Callable[[], Mapping[str, float]], interval_seconds: float = 1.0) -> None:
        self._read, self._interval = read, interval_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self.readings: list[Mapping[str, float]] = []

    def __enter__(self) -> Self:
        self.readings.append(self._read())
        self._thread.start()
        return self

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            self.readings.append(self._read())

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.readings.append(self._read())

    def values(self, sensor: str) -> list[float]:
        """Return all readings of one sensor; empty where it has none."""
        return [reading[sensor] for reading in self.readings if sensor in reading]


class GpuMonitor:
    """Context manager that watches a GPU: utilisation, memory, temperature, power and energy.

    Once the block has begun, a driver that does not answer is no error: the job's own work goes on.
    """

    def __init__(self, unit: str, interval_seconds: float = 1.0) -> None:
        self._unit = unit
        self._sampler = Sampler(self._read, interval_seconds)
        self._facts: dict[str, Any] = {}

    def __enter__(self) -> Self:
        try:
            pynvml.nvmlInit()
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(self._unit)
            # Temperature and power are reported for the whole GPU only.
            self._whole = self._handle
            if pynvml.nvmlDeviceIsMigDeviceHandle(self._handle):
                self._whole = pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self._handle)
        except pynvml.NVMLError as error:
            raise no_answer(error) from error
        self._sampler.__enter__()
        return self

    def _read(self) -> dict[str, float]:
        sensors = {
            "utilisation": lambda: pynvml.nvmlDeviceGetUtilizationRates(self._handle).gpu,
            "memory": lambda: pynvml.nvmlDeviceGetMemoryInfo(self._handle).used,
            "temperature": lambda: pynvml.nvmlDeviceGetTemperature(self._whole, pynvml.NVML_TEMPERATURE_GPU),
            "power": lambda: pynvml.nvmlDeviceGetPowerUsage(self._whole) / 1e3,
            "energy": lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(self._whole) / 1e3,
        }
        readings = ((name, answer_or_none(ask)) for name, ask in sensors.items())
        return {name: float(value) for name, value in readings if value is not None}

    def __exit__(self, *_: object) -> None:
        self._sampler.__exit__()
        self._facts = {
            "gpu": answer_or_none(lambda: pynvml.nvmlDeviceGetName(self._whole)),
            "gpu_uuid": self._unit,
            "driver": answer_or_none(pynvml.nvmlSystemGetDriverVersion),
        }
        answer_or_none(pynvml.nvmlShutdown)

    def summary(self) -> dict[str, Any]:
        """Return entries for the job's record: those of the sensors that the GPU has, after the block its name too."""
        return self._facts | summarise(self._sampler)


def summarise(sampler: Sampler) -> dict[str, float]:
    """Return means and peaks of the sensors of `GpuMonitor`; energy is the last reading minus the first."""
    rules: dict[str, tuple[str, Callable[[list[float]], float]]] = {
        "gpu_utilisation_percent": ("utilisation", statistics.fmean),
        "gpu_memory_peak_bytes": ("memory", max),
        "gpu_temperature_max_celsius": ("temperature", max),
        "gpu_power_mean_watts": ("power", statistics.fmean),
        "gpu_energy_joules": ("energy", lambda values: values[-1] - values[0]),
    }
    read = {name: (sampler.values(sensor), rule) for name, (sensor, rule) in rules.items()}
    return {name: round(rule(values), 3) for name, (values, rule) in read.items() if values}
