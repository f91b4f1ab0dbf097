"""The machine while a run goes on: use and energy of every GPU, memory and page cache of the host."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from statistics import fmean
from types import TracebackType
from typing import Any, Self

import psutil
import pynvml

from virnucpro_kernels.embed.gpu import answer_or_none
from virnucpro_kernels.embed.gpu_monitor import Sampler

_INTERVAL_SECONDS = 0.25
#: Fewer readings than that of a stretch say nothing of it.
_FEWEST = 8


class Watch:
    """Context manager that reads the sensors of the machine four times a second.

    Attributes:
        readings: The readings in order: `time` (seconds since 1970), `cached` and `used` (bytes of the host), and of
            each GPU `UUID utilisation` (percent) and `UUID joules`.
    """

    def __init__(self, gpus: Sequence[str]) -> None:
        self._gpus = gpus
        self._exits = ExitStack()
        self.readings: list[Mapping[str, float]] = []

    def __enter__(self) -> Self:
        self._handles: dict[str, Any] = {}
        if self._gpus:
            pynvml.nvmlInit()
            self._exits.callback(pynvml.nvmlShutdown)
            self._handles = {gpu: pynvml.nvmlDeviceGetHandleByUUID(gpu) for gpu in self._gpus}
        sampler = Sampler(self._read, _INTERVAL_SECONDS)
        self.readings = sampler.readings
        self._exits.enter_context(sampler)
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._exits.close()

    def _read(self) -> dict[str, float]:
        memory = psutil.virtual_memory()
        reading = {"time": time.time(), "cached": float(memory.cached), "used": float(memory.used)}
        for gpu, handle in self._handles.items():
            use = answer_or_none(partial(pynvml.nvmlDeviceGetUtilizationRates, handle))
            energy = answer_or_none(partial(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle))
            if use is not None:
                reading[f"{gpu} utilisation"] = float(use.gpu)
            if energy is not None:
                reading[f"{gpu} joules"] = energy / 1e3
        return reading


def idle_fraction(readings: Sequence[Mapping[str, float]], gpu: str, begin: float, end: float) -> float | None:
    """Return the fraction of a stretch of time in which no kernel ran on a GPU; None where it is not known."""
    uses = [value for time, value in _stretch(readings, f"{gpu} utilisation", begin, end)]
    return 1 - fmean(uses) / 100 if len(uses) >= _FEWEST else None


def energy(readings: Sequence[Mapping[str, float]], gpu: str, begin: float, end: float) -> float | None:
    """Return the joules of a GPU from `begin` to `end`; None where they are not known."""
    values = [value for time, value in _stretch(readings, f"{gpu} joules", begin, end)]
    return values[-1] - values[0] if len(values) >= _FEWEST else None


def _stretch(
    readings: Sequence[Mapping[str, float]], sensor: str, begin: float, end: float
) -> list[tuple[float, float]]:
    return [(r["time"], r[sensor]) for r in readings if sensor in r and begin <= r["time"] <= end]
