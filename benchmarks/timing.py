"""Timing of single operations on a device: medians of warm calls, and the rate of a copy."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from virnucpro_kernels.bench.timing import make_event, synchronize


def milliseconds(call: Callable[[], object], device: torch.device, *, repeats: int = 20) -> float:
    """Return the median time of `call`, warm. Its tensors should be many times larger than the caches."""
    call()
    synchronize(device)
    if device.type != "cuda":
        times = []
        for _ in range(min(repeats, 5)):
            started = time.perf_counter()
            call()
            times.append(1000 * (time.perf_counter() - started))
        return statistics.median(times)
    pairs = [(make_event(), make_event()) for _ in range(repeats)]
    for start, end in pairs:
        start.record()
        call()
        end.record()
    synchronize(device)
    return float(statistics.median(start.elapsed_time(end) for start, end in pairs))


def copy_bandwidth(device: torch.device) -> float:
    """Return the bytes per second of a large copy within the device's memory, counting reading and writing."""
    count = (1 << 30) if device.type == "cuda" else (1 << 26)
    source = torch.ones(count, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * count / (milliseconds(lambda: target.copy_(source), device) / 1000)
