"""The options of `virnucpro bench`, checked before anything is measured; what is wrong raises `UsageError`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from virnucpro_kernels.bench.encoders import CONFIGS
from virnucpro_kernels.bench.run import PRECISIONS
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.models.precisions import NO_FAIR_ESM, check_device, has_fair_esm
from virnucpro_kernels.ops.dispatch import check_fp8

log = logging.getLogger(__name__)

_DNABERT = "dnabert-s"
_WITHOUT_FP8 = ", ".join(name for name in PRECISIONS if name != "fp8")


def check_files(*files: Path | None) -> None:
    """Refuse files that could not be written in the end."""
    for path in files:
        if path is not None and (path.is_dir() or not path.parent.is_dir()):
            raise UsageError(f"{path}: cannot be written: {'it is a' if path.is_dir() else 'there is no such'} folder")


def check_folder(folder: Path | None) -> Path:
    """The folder of --chunk and --sample."""
    if folder is None:
        raise UsageError("--chunk, --sample: say where model, chunks and reads shall go, with --folder")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--folder {folder}: is a file; name a folder")
    return folder


def refuse(reason: str, **options: object) -> None:
    """Refuse those of `options` that were given."""
    for name, value in options.items():
        if value:
            raise UsageError(f"--{name.replace('_', '-')}: {reason}; leave it out")


def find_device(wanted: str) -> torch.device:
    """The current GPU or the CPU, for `auto`, `cpu` or `cuda`."""
    if wanted not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {wanted}: choose from auto, cpu, cuda")
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise UsageError(f"--device cuda: PyTorch {torch.__version__} finds no NVIDIA GPU here; choose auto or cpu")
    return torch.device("cpu" if wanted == "cpu" or not available else f"cuda:{torch.cuda.current_device()}")


def find_encoders(names: Sequence[str] | None, device: torch.device) -> list[str]:
    """Those of `names`, or the default ones of the device."""
    for name in names or ():
        if name not in CONFIGS:
            raise UsageError(f"--encoder {name}: choose from {', '.join(CONFIGS)}")
    return list(dict.fromkeys(names or (["esm2-3b", _DNABERT] if device.type == "cuda" else ["esm2-8m"])))


def find_precisions(text: str, encoders: Sequence[str], device: torch.device) -> list[str]:
    """Those of `text`, with commas, or the default ones of the device."""
    default = "fp16,fp8" if device.type == "cuda" else "fp32"
    precisions = list(dict.fromkeys((text or default).split(",")))
    if unknown := [name for name in precisions if name not in PRECISIONS]:
        raise UsageError(f"--precision {', '.join(unknown)}: choose from {', '.join(PRECISIONS)}")
    if "bf16" in precisions and {"fp16", "fp8"} & set(precisions):
        raise UsageError("--precision: measure bf16 in a run of its own, or together with fp32")
    if not any(precisions_of(name, precisions) for name in encoders):
        raise UsageError(f"--precision {text}: {_DNABERT} has no fp8; choose from {_WITHOUT_FP8}")
    for name in precisions:
        check_device(name, device.type)
    if "fp8" in precisions:
        check_fp8(device)
    return precisions


def precisions_of(encoder: str, precisions: Sequence[str]) -> list[str]:
    """Those in which an encoder can run."""
    return [name for name in precisions if not (encoder == _DNABERT and name == "fp8")]


def workloads_of(encoder: str) -> list[str]:
    """The default ones: windows of 500 bp, reads of 150 nt, and a mix."""
    return ["110"] if encoder == _DNABERT else ["168", "52", "40-350"]


def find_reference(wanted: bool | None, encoder: str, *, sweep: bool) -> bool:
    """Whether to measure the original's way: by default where it can be, but not beside a sweep."""
    if wanted is not None or sweep:
        return bool(wanted)
    there = encoder == _DNABERT or has_fair_esm()
    if not there:
        log.warning("%s: the original's way is not measured: %s", encoder, NO_FAIR_ESM)
    return there


def find_layers(text: str, encoders: Sequence[str], precisions: Sequence[str]) -> list[int]:
    """Numbers of layers, with commas, from 0."""
    if not text:
        return []
    words = text.split(",")
    if not all(word.isdecimal() for word in words):
        raise UsageError(f"--keep-fp16 {text}: must be layers with commas, from 0, as in 0,35")
    layers = [int(word) for word in words]
    for name in protein_encoders(encoders):
        if max(layers) >= CONFIGS[name].layers:
            raise UsageError(f"--keep-fp16 {text}: {name} has layers 0 to {CONFIGS[name].layers - 1}")
    if "fp8" not in precisions:
        raise UsageError(f"--keep-fp16 {text}: goes with --precision fp8; leave it out")
    return layers


def protein_encoders(encoders: Sequence[str]) -> list[str]:
    """All but DNABERT-S."""
    return [name for name in encoders if name != _DNABERT]


def check_whole(encoders: Sequence[str]) -> None:
    """Refuse what the commands that --chunk and --sample run would refuse."""
    if not protein_encoders(encoders):
        raise UsageError(f"--encoder {_DNABERT}: --chunk and --sample take an ESM-2, and {_DNABERT} comes with it")


def find_gpus(wanted: Sequence[int] | None, device: torch.device) -> list[int]:
    """Numbers of GPUs, one for each run of a sample: one by default, 0 on a CPU."""
    if device.type != "cuda":
        if wanted:
            raise UsageError(f"--gpus {wanted[0]}: leave it out on a CPU")
        return [0]
    from virnucpro_kernels.embed.gpu import count_gpus

    there = count_gpus()
    for number in wanted or ():
        if number > there:
            raise UsageError(f"--gpus {number}: {there} GPUs are visible; choose from 1 to {there}")
    return list(dict.fromkeys(wanted or [1]))
