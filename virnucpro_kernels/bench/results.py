"""The results of a benchmark: as JSON, as a table for people, and compared with earlier ones."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean

import torch

from virnucpro_kernels import __version__
from virnucpro_kernels.bench.accuracy import Accuracy
from virnucpro_kernels.bench.chunk import ChunkRate
from virnucpro_kernels.bench.layer import Part
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.ops.jit import TRITON_INSTALLED

SCHEMA = 1
SLOWER = 0.05


@dataclass(frozen=True)
class Rate:
    """Speed of one encoder in one precision on one workload.

    Attributes:
        tokens_per_second: median over the rounds; padding does not count.
        ceiling_tokens_per_second: the same of the matrix products alone; None where it was not measured.
        of_ceiling: median of the ratios of each round.
        teraflop_per_second: of the matrix products, at the engine's rate.
        reference_tokens_per_second: the original's way.
        peak_gigabytes, reserved_gigabytes: of GPU memory, allocated and held.
        rounds: tokens a second of each round, engine and ceiling.
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
    peak_gigabytes: float
    reserved_gigabytes: float
    rounds: list[tuple[float, float]]

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What identifies a row in another run."""
        return self.encoder, self.precision, self.workload, self.token_budget


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


def markdown(results: Results) -> str:
    """Tables."""
    lines = [", ".join(f"{name} {value}" for name, value in results.machine.items()), "", f"`{results.command}`", ""]
    if results.rates:
        lines += _table(
            ("encoder", "precision", "tokens a sequence", "budget", "tokens/s", "sequences/s", "ceiling tokens/s"),
            (
                "of ceiling",
                "TFLOP/s",
                "packing",
                "peak GB",
                "reserved GB",
                "the original's way, tokens/s",
                "times that",
            ),
            [_rate_cells(rate) for rate in results.rates],
        )
    for layer in results.layers:
        lines += ["", f"One layer of {layer.encoder}, {layer.precision}, {layer.workload} tokens a sequence:", ""]
        lines += _table(("part", "ms", "floor ms", "of floor"), ("GB", "TFLOP"), _layer_cells(layer))
        if layer.kernels:
            top = list(layer.kernels.items())[:14]
            lines += ["", "GPU kernels of a whole pass (launches of attention for different lengths overlap):", ""]
            lines += _table(("kernel", "ms"), (), [(f"`{name[:90]}`", f"{time:.2f}") for name, time in top])
    if results.accuracy:
        lines += ["", "Cosine of the pooled vectors with those in fp32:", ""]
        lines += _table(
            ("precision", "outlier channels", "sequences", "worst", "mean"),
            (),
            [
                (row.precision, "planted" if row.outliers else "none", str(row.sequences), *_cosines(row))
                for row in results.accuracy
            ],
        )
    if results.chunks:
        lines += ["", "A chunk, file to files, with DNABERT-S:", ""]
        lines += _table(
            ("encoder", "precision", "frames", "residues", "seconds", "protein tokens/s", "of the engine alone"),
            ("DNABERT-S of it", "packing", "start s", "loading s", "peak GB", "reserved GB"),
            [_chunk_cells(chunk) for chunk in results.chunks],
        )
    return "\n".join(lines) + "\n"


def _chunk_cells(chunk: ChunkRate) -> tuple[str, ...]:
    return (
        chunk.encoder,
        chunk.precision,
        f"{chunk.frames:,}",
        str(chunk.residues),
        f"{chunk.seconds:.1f}",
        f"{chunk.tokens_per_second:,.0f}",
        f"{chunk.of_engine:.3f}",
        f"{chunk.nucleotide_share:.1%}",
        f"{chunk.packing:.2%}",
        f"{chunk.start_seconds:.1f}",
        f"{chunk.load_seconds:.1f}",
        f"{chunk.peak_gigabytes:.1f}",
        f"{chunk.reserved_gigabytes:.1f}",
    )


def _cosines(row: Accuracy) -> tuple[str, str]:
    return f"{row.worst:.8f}", f"{row.mean:.8f}"


def _table(first: tuple[str, ...], second: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    header = first + second
    return ["| " + " | ".join(cells) + " |" for cells in (header, ("---",) * len(header), *rows)]


def _rate_cells(rate: Rate) -> tuple[str, ...]:
    reference = rate.reference_tokens_per_second
    return (
        rate.encoder,
        rate.precision,
        rate.workload,
        f"{rate.token_budget:,}",
        f"{rate.tokens_per_second:,.0f}",
        f"{rate.sequences_per_second:,.0f}",
        "" if rate.ceiling_tokens_per_second is None else f"{rate.ceiling_tokens_per_second:,.0f}",
        "" if rate.of_ceiling is None else f"{rate.of_ceiling:.3f}",
        f"{rate.teraflop_per_second:.4g}",
        f"{rate.packing:.2%}",
        f"{rate.peak_gigabytes:.1f}",
        f"{rate.reserved_gigabytes:.1f}",
        "" if reference is None else f"{reference:,.0f}",
        "" if reference is None else f"{rate.tokens_per_second / reference:.1f}",
    )


def _layer_cells(layer: Layer) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for part in layer.parts:
        floor = part.floor(layer.bandwidth, layer.flop_rate)
        rows.append(
            (
                part.name,
                f"{part.milliseconds:.3f}",
                f"{floor:.3f}",
                f"{floor / part.milliseconds:.2f}",
                f"{part.gigabytes:.2f}",
                f"{part.teraflop:.2f}" if part.teraflop else "",
            )
        )
    total = sum(part.milliseconds for part in layer.parts)
    floor = sum(part.floor(layer.bandwidth, layer.flop_rate) for part in layer.parts)
    rows.append(("sum", f"{total:.3f}", f"{floor:.3f}", f"{floor / total:.2f}", "", ""))
    return rows


def best_budgets(results: Results) -> list[str]:
    """Say which token budget is the fastest for each encoder and precision, on average over the workloads."""
    rates: dict[tuple[str, str], dict[int, list[float]]] = {}
    for rate in results.rates:
        rates.setdefault((rate.encoder, rate.precision), {}).setdefault(rate.token_budget, []).append(
            rate.tokens_per_second
        )
    lines = []
    for (encoder, precision), of_budget in rates.items():
        best = max(of_budget, key=lambda budget: fmean(of_budget[budget]))
        lines.append(
            f"best token budget of {encoder} in {precision}: {best:,} ({fmean(of_budget[best]):,.0f} tokens/s)"
        )
    return lines


def slower_rows(results: Results, old: Path) -> tuple[list[str], int]:
    """Say which rows are more than 5 % slower than in an earlier run's JSON, and how many could be compared.

    :raises UsageError: the file holds no results of this kind.
    """
    try:
        earlier = json.loads(old.read_text())
        rates = {(r["encoder"], r["precision"], r["workload"], r["token_budget"]): r for r in earlier["rates"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{old}: not the JSON of a benchmark ({error})") from error
    found, compared = [], 0
    for rate in results.rates:
        if rate.key in rates:
            compared += 1
            before = rates[rate.key]["tokens_per_second"]
            if rate.tokens_per_second < before * (1 - SLOWER):
                found.append(
                    f"{' '.join(map(str, rate.key))}: {rate.tokens_per_second:,.0f} tokens/s,"
                    f" {1 - rate.tokens_per_second / before:.1%} less than {before:,.0f}"
                )
    return found, compared
