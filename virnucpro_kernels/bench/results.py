"""The results of a benchmark: JSON, a table for the terminal, and a comparison with an earlier run."""

from __future__ import annotations

import json
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from virnucpro_kernels import __version__
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.ops.jit import TRITON_INSTALLED

SCHEMA = 3
#: A figure that is worse by more than this fraction makes a comparison fail.
WORSE = 0.05


@dataclass(frozen=True)
class Rate:
    """Speed of one encoder in one precision on one workload.

    Attributes:
        encoder, precision, workload, token_budget: Subject of the measurement.
        tokens_per_second: Median over the rounds; padding does not count.
        sequences_per_second: Median rate in sequences.
        packing: Fraction of the token budget that held tokens.
        ceiling_tokens_per_second: Median rate of the matrix products alone.
        of_ceiling: Median of the ratios of each round.
        teraflop_per_second: Operations of the matrix products at the engine's rate.
        peak_gigabytes, reserved_gigabytes: GPU memory, allocated and held, weights included; None on a CPU.
        rounds: Tokens per second of each round, engine and ceiling.
        measured_seconds: Time that the engine was measured for, all rounds together.
    """

    encoder: str
    precision: str
    workload: str
    token_budget: int
    tokens_per_second: float
    sequences_per_second: float
    packing: float
    ceiling_tokens_per_second: float
    of_ceiling: float
    teraflop_per_second: float
    peak_gigabytes: float | None
    reserved_gigabytes: float | None
    rounds: list[tuple[float, float]]
    measured_seconds: float

    def cells(self) -> dict[str, str]:
        """Return the row of a table, as text by column."""
        return {
            "ENCODER": self.encoder,
            "PRECISION": self.precision,
            "WORKLOAD": self.workload,
            "BUDGET": f"{self.token_budget:,}",
            "TOKENS/S": f"{self.tokens_per_second:,.0f}",
            "SEQUENCES/S": f"{self.sequences_per_second:,.0f}",
            "CEILING": f"{self.ceiling_tokens_per_second:,.0f}",
            "OF CEILING": f"{self.of_ceiling:.3f}",
            "TFLOP/S": f"{self.teraflop_per_second:.4g}",
            "PACKING": f"{self.packing:.2%}",
            "PEAK GB": format_known(self.peak_gigabytes, ".1f"),
            "RESERVED GB": format_known(self.reserved_gigabytes, ".1f"),
        }


def format_known(value: float | None, form: str) -> str:
    """Return a number as text; nothing where there is none."""
    return "" if value is None else format(value, form)


@dataclass
class Results:
    """Measurements of a run, and the machine on which they were made.

    Attributes:
        machine: Device and versions.
        command: Command line of the run.
        rates: Rates of the encoders.
        schema: Version of the form of the JSON.
    """

    machine: dict[str, str]
    command: str
    rates: list[Rate] = field(default_factory=list)
    schema: int = SCHEMA

    def write(self, path: Path) -> None:
        """Write the results as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    def table(self) -> str:
        """Return machine and rates as a table for the terminal."""
        cells = [rate.cells() for rate in self.rates]
        rows = [list(cells[0]), *(list(row.values()) for row in cells)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([", ".join(f"{name} {value}" for name, value in self.machine.items()), *lines])


def describe_command(program: str) -> str:
    """Return the command line of this process as one would type it; `program` stands for the first word."""
    return f"{program} {shlex.join(sys.argv[1:])}"


def describe_machine(device: torch.device) -> dict[str, str]:
    """Return the device and the versions that a figure depends on."""
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


def best_budgets(rates: Sequence[Rate]) -> list[str]:
    """Return a line for each encoder and precision: the token budget that is fastest on average over the workloads."""
    by_budget: dict[tuple[str, str], dict[int, list[float]]] = {}
    for rate in rates:
        budgets = by_budget.setdefault((rate.encoder, rate.precision), {})
        budgets.setdefault(rate.token_budget, []).append(rate.tokens_per_second)
    means = {key: {budget: fmean(found) for budget, found in budgets.items()} for key, budgets in by_budget.items()}
    lines = []
    for (encoder, precision), mean in means.items():
        best = max(mean, key=mean.__getitem__)
        lines.append(f"best token budget of {encoder} in {precision}: {best:,} ({mean[best]:,.0f} tokens/s)")
    return lines


def read_rates(path: Path) -> dict[str, float]:
    """Return tokens per second and memory of an earlier run by name, from its JSON.

    Raises:
        UsageError: the file holds no rates of a benchmark.
    """
    try:
        found = _figures(json.loads(path.read_text())["rates"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"--compare {path}: not the JSON of a benchmark ({error})") from error
    if not found:
        raise UsageError(f"--compare {path}: not the JSON of a benchmark, or of one that measured nothing")
    return found


def _figures(rates: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    figures = {}
    for rate in rates:
        name = "{encoder} {precision} {workload} budget {token_budget}".format(**rate)
        figures[f"{name}: tokens/s"] = float(rate["tokens_per_second"])
        if rate["reserved_gigabytes"] is not None:
            figures[f"{name}: reserved GB"] = float(rate["reserved_gigabytes"])
    return figures


def compare(rates: Sequence[Rate], before: Mapping[str, float], path: Path) -> tuple[list[str], bool]:
    """Compare rates with those of an earlier run.

    Args:
        rates: Rates of this run.
        before: Figures of the earlier run.
        path: File of the earlier run, to name in messages.

    Returns:
        A line for each figure that both runs have, and whether one is more than 5 % worse.

    Raises:
        UsageError: the runs have no figure in common.
    """
    now = _figures([asdict(rate) for rate in rates])
    common = [name for name in before if name in now]
    if not common:
        raise UsageError(
            f"--compare {path}: nothing to compare; it has {', '.join(before)}, and this run {', '.join(now)}"
        )
    lines, any_worse = [f"{len(common)} of {len(before)} figures of {path} were measured again:"], False
    for name in common:
        change = now[name] / before[name] - 1
        worse = (-change if name.endswith("tokens/s") else change) > WORSE
        any_worse = any_worse or worse
        lines.append(f"{name} {now[name]:,.6g}, before {before[name]:,.6g} ({change:+.1%}){', WORSE' * worse}")
    return lines, any_worse
