"""The results of a benchmark, and on what machine they were measured; as JSON."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import torch

from virnucpro_kernels import __version__
from virnucpro_kernels.bench.accuracy import Accuracy
from virnucpro_kernels.bench.chunk import ChunkRate
from virnucpro_kernels.bench.layer import Part
from virnucpro_kernels.bench.sample import SampleRate
from virnucpro_kernels.ops.jit import TRITON_INSTALLED

SCHEMA = 2


@dataclass(frozen=True)
class Rate:
    """Speed of one encoder in one precision on one workload.

    Attributes:
        tokens_per_second: median over the rounds; padding does not count.
        ceiling_tokens_per_second: the same of the matrix products alone; None where it was not measured.
        of_ceiling: median of the ratios of each round.
        teraflop_per_second: of the matrix products, at the engine's rate.
        reference_tokens_per_second, reference_sequences_per_second: the original's way; None where it was not measured.
        reference_peak_gigabytes: of it, as `peak_gigabytes`.
        peak_gigabytes, reserved_gigabytes: of GPU memory, allocated and held, weights included; None on a CPU.
        rounds: tokens a second of each round, engine and ceiling.
        measured_seconds: that the engine was measured for, all rounds together.
    """

    encoder: str
    precision: str
    workload: str
    token_budget: int
    tokens_per_second: float
    sequences_per_second: float
    packing: float
    ceiling_tokens_per_second: float | None
    of_ceiling: float | None
    teraflop_per_second: float
    reference_tokens_per_second: float | None
    reference_sequences_per_second: float | None
    reference_peak_gigabytes: float | None
    peak_gigabytes: float | None
    reserved_gigabytes: float | None
    rounds: list[tuple[float, float]]
    measured_seconds: float


@dataclass(frozen=True)
class Layer:
    """Time of the operations of one layer, and of the kernels in a whole pass."""

    encoder: str
    precision: str
    workload: str
    token_budget: int
    bandwidth: float
    flop_rate: float
    parts: list[Part]
    kernels: dict[str, float]


@dataclass
class Results:
    """Everything that a run measured, and on what."""

    machine: dict[str, str]
    command: str
    rates: list[Rate] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    accuracy: list[Accuracy] = field(default_factory=list)
    chunks: list[ChunkRate] = field(default_factory=list)
    samples: list[SampleRate] = field(default_factory=list)
    schema: int = SCHEMA

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


def describe_machine(device: torch.device) -> dict[str, str]:
    """What a figure depends on."""
    machine = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "virnucpro": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if TRITON_INSTALLED:
        import triton

        machine["triton"] = triton.__version__
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        machine["device"] = f"{properties.name}, {properties.multi_processor_count} SMs"
        machine["memory"] = f"{properties.total_memory / 2**30:.0f} GiB"
        machine["cuda"] = str(torch.version.cuda)
    else:
        machine["device"] = f"CPU ({platform.machine()}), {torch.get_num_threads()} threads"
    return machine
