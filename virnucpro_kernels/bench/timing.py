"""Measuring on a device: rates over some seconds, memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all work that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def make_event() -> torch.cuda.Event:
    """Return an event that notes the time."""
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def calls_per_second(call: Callable[[], object], seconds: float, device: torch.device, *, at_least: int = 1) -> float:
    """Return the rate at which `call` completes, measured over about `seconds`.

    On a GPU a few calls are queued ahead, as the engine does it, and no more, so that the last one ends soon after
    the time is over.
    """
    synchronize(device)
    queued: deque[torch.cuda.Event] = deque()
    started = time.perf_counter()
    count = 0
    while count < at_least or time.perf_counter() - started < seconds:
        call()
        count += 1
        if device.type == "cuda":
            event = make_event()
            event.record()
            queued.append(event)
            if len(queued) > 3:
                queued.popleft().synchronize()
    synchronize(device)
    return count / (time.perf_counter() - started)


@dataclass(frozen=True)
class Memory:
    """GPU memory in GB, weights included. None on a CPU, where memory is not counted by tensor.

    Attributes:
        peak: Largest amount that was allocated.
        reserved: Amount that PyTorch held.
    """

    peak: float | None = None
    reserved: float | None = None


def measure_memory(call: Callable[[], object], device: torch.device) -> Memory:
    """Run `call` and return the memory that it took."""
    if device.type != "cuda":
        call()
        return Memory()
    torch.cuda.reset_peak_memory_stats(device)
    call()
    return Memory(torch.cuda.max_memory_allocated(device) / 1e9, torch.cuda.memory_reserved(device) / 1e9)
