"""The options of `virnucpro bench`, checked before anything is measured: wrong ones raise `UsageError`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from virnucpro_kernels.bench.encoders import CONFIGS, PRECISIONS, Workload
from virnucpro_kernels.bench.run import Plan
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.models.precisions import FP8_ATTENTION, check_device, choose_device
from virnucpro_kernels.ops.dispatch import check_fp8

PRESETS = (10, 100, 1_000, 10_000)
DNABERT = "dnabert-s"


@dataclass(frozen=True)
class BenchOptions:
    """Options as they were given on the command line; empty ones stand for the defaults of the device.

    Attributes:
        encoder: Names of encoders, keys of `encoders.CONFIGS`.
        workload: Lengths of sequences, such as `168` or `40-350`.
        precision: Precisions with commas.
        preset: Number of sequences, one of `PRESETS`; 0 for full batches.
        device: Device that computes: `auto`, `cpu` or `cuda`.
        token_budget: Tokens of a batch; 0 for the default.
        sweep_budget: Whether several token budgets are measured.
        rounds: Number of measurements.
        seconds: Time of each measurement.
    """

    encoder: Sequence[str] = field(default_factory=list)
    workload: Sequence[str] = field(default_factory=list)
    precision: str = ""
    preset: int = 0
    device: str = "auto"
    token_budget: int = 0
    sweep_budget: bool = False
    rounds: int | None = None
    seconds: float | None = None


def plan_measurements(options: BenchOptions, device: torch.device) -> list[Plan]:
    """Return what to measure, one plan for each encoder.

    Raises:
        UsageError: an option is wrong, or cannot be measured on this device.
    """
    if options.preset and options.preset not in PRESETS:
        raise UsageError(f"--preset {options.preset}: choose from {', '.join(map(str, PRESETS))}")
    encoders = find_encoders(options.encoder, device)
    precisions = find_precisions(options.precision, encoders, device)
    return [
        Plan(
            name,
            of_encoder,
            [Workload.parse(text) for text in options.workload or default_workloads(name)],
            token_budget=options.token_budget,
            sweep=options.sweep_budget,
            sequences=options.preset,
            rounds=options.rounds or (1 if options.preset else 5),
            seconds=options.seconds if options.seconds is not None else 0.0 if options.preset else 10.0,
        )
        for name in encoders
        if (of_encoder := precisions_of(name, precisions))
    ]


def check_files(*files: Path | None) -> None:
    """Refuse files that could not be written at the end."""
    for path in files:
        if path is not None and (path.is_dir() or not path.parent.is_dir()):
            raise UsageError(f"{path}: cannot be written: {'it is a' if path.is_dir() else 'there is no such'} folder")


def find_device(name: str) -> torch.device:
    """Return the current GPU or the CPU, for `auto`, `cpu` or `cuda`."""
    available = torch.cuda.is_available()
    chosen = choose_device(name, gpu_available=available)
    if chosen == "cuda" and not available:
        raise UsageError(f"--device cuda: PyTorch {torch.__version__} finds no NVIDIA GPU here; choose auto or cpu")
    return torch.device("cpu" if chosen == "cpu" else f"cuda:{torch.cuda.current_device()}")


def find_encoders(names: Sequence[str], device: torch.device) -> list[str]:
    """Return `names` without repeats, or the default encoders of the device."""
    for name in names:
        if name not in CONFIGS:
            raise UsageError(f"--encoder {name}: choose from {', '.join(CONFIGS)}")
    return list(dict.fromkeys(names or (["esm2-3b", DNABERT] if device.type == "cuda" else ["esm2-8m"])))


def find_precisions(text: str, encoders: Sequence[str], device: torch.device) -> list[str]:
    """Return the precisions that `text` names, with commas, or the default ones of the device."""
    default = "fp16,fp8" if device.type == "cuda" else "fp32"
    precisions = list(dict.fromkeys((text or default).split(",")))
    if unknown := [name for name in precisions if name not in PRECISIONS]:
        raise UsageError(f"--precision {', '.join(unknown)}: choose from {', '.join(PRECISIONS)}")
    if not any(precisions_of(name, precisions) for name in encoders):
        others = ", ".join(precisions_of(DNABERT, PRECISIONS))
        raise UsageError(f"--precision {text}: {DNABERT} has no fp8; choose from {others}")
    for name in precisions:
        check_device(name, device.type)
    if set(precisions) & set(FP8_ATTENTION):
        check_fp8(device)
    return precisions


def precisions_of(encoder: str, precisions: Sequence[str]) -> list[str]:
    """Return those of `precisions` in which an encoder can run."""
    return [name for name in precisions if not (encoder == DNABERT and name in FP8_ATTENTION)]


def default_workloads(encoder: str) -> list[str]:
    """Return lengths of sequences from windows of 500 bp and, for ESM-2, reads of 150 nt and a mix."""
    return ["110"] if encoder == DNABERT else ["168", "52", "40-350"]
