"""Diagnosis of an installation: what runs here, whether it can work, and what to do where it cannot."""

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from virnucpro_kernels.embed.gpu import driver_version, list_gpus, visible_units
from virnucpro_kernels.embed.torch_build import build_problem
from virnucpro_kernels.errors import VirnucproError
from virnucpro_kernels.run.environment import has_writable_cache
from virnucpro_kernels.run.installation import workflow_root
from virnucpro_kernels.score.run_record import describe_software
from virnucpro_kernels.weights.registry import BUILTIN_DIRECTORY, RELEASED, model_directories, read_model
from virnucpro_kernels.weights.site import command_line, find_models_dir

Severity = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One finding of the diagnosis.

    Attributes:
        severity: `ok`, `warning` (works, but not all of it) or `error` (runs will fail).
        subject: Part of the installation.
        text: State of that part and, unless it is ok, what to do.
    """

    severity: Severity
    subject: str
    text: str


def report(models_dir: Path | None, say: Callable[[str], object]) -> bool:
    """Print the findings of all checks; return whether there is no error among them. Arguments as for `diagnose`."""
    findings = []
    for finding in diagnose(models_dir):
        say(f"{finding.severity:<8} {finding.subject:<10} {finding.text}")
        findings.append(finding)
    return not any(finding.severity == "error" for finding in findings)


def diagnose(models_dir: Path | None) -> Iterator[Finding]:
    """Yield the findings of all checks; a check that fails is a finding, and the others go on.

    Args:
        models_dir: Folder of imported models; None for the site's or the user's own.
    """

    def models() -> Iterator[Finding]:
        return _models(models_dir)

    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _software,
        _machine,
        _gpus,
        _torch,
        _workflow,
        models,
    )
    for check in checks:
        try:
            yield from check()
        except VirnucproError as error:
            yield Finding("error", check.__name__.strip("_"), str(error))


def _software() -> Iterator[Finding]:
    software = describe_software()
    commit = f", commit {software['commit'][:12]}" if software["commit"] else ""
    yield Finding("ok", "virnucpro", f"{software['version']}{commit}, Python {software['python']}")
    yield Finding("ok", "packages", ", ".join(f"{name} {version}" for name, version in software["packages"].items()))


def _machine() -> Iterator[Finding]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    yield Finding(
        "ok",
        "machine",
        f"{platform.platform()}, {len(os.sched_getaffinity(0))} CPU cores to use, {memory:.0f} GB of memory,"
        f" {free:,.0f} GB free in {Path.cwd()}",
    )


def _gpus() -> Iterator[Finding]:
    gpus = list_gpus()
    if not gpus:
        yield Finding("warning", "gpus", "no NVIDIA GPU, or no driver for it: embeddings are computed on the CPU")
        return
    units = visible_units(gpus, os.environ.get("CUDA_VISIBLE_DEVICES"))
    names = ", ".join(gpu.name or "one that does not answer" for gpu in gpus)
    yield Finding("ok", "gpus", f"{names}; driver {driver_version()}; {len(units)} may be used")


def _torch() -> Iterator[Finding]:
    import torch

    from virnucpro_kernels.ops.prepare import prepare

    target = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPUs only"
    build = f"PyTorch {torch.__version__}, for {target}"
    if not list_gpus():
        yield Finding("ok", "torch", build)
    elif problem := build_problem():
        yield Finding("error", "torch", problem)
    elif torch.cuda.is_available():
        prepare(torch.device("cuda"))
        yield Finding("ok", "torch", f"{build}; kernels can be compiled and launched")
    else:
        remedy = "restart the machine after an update of the driver, or run with --device cpu"
        yield Finding("error", "torch", f"{build}, finds no GPU it can use: {remedy}")


def _workflow() -> Iterator[Finding]:
    yield Finding("ok", "workflow", f"{workflow_root()}, Snakemake {metadata.version('snakemake')}")
    if not has_writable_cache():
        yield Finding(
            "warning",
            "cache",
            "Snakemake cannot write its cache in the home directory: `predict` keeps it in the run's folder; for plain"
            " snakemake, set XDG_CACHE_HOME to another folder",
        )
    if shutil.which("sbatch"):
        plugin = "snakemake-executor-plugin-slurm"
        if find_spec(plugin.replace("-", "_")):
            yield Finding("ok", "slurm", f"sbatch at hand, {plugin} {metadata.version(plugin)}")
        else:
            yield Finding("warning", "slurm", f"sbatch at hand, but --profile slurm needs: pip install {plugin}")


def _models(models_dir: Path | None) -> Iterator[Finding]:
    yield Finding("ok", "models", f"folder {find_models_dir(models_dir)}")
    imported = [path for path in model_directories(models_dir) if path.parent != BUILTIN_DIRECTORY]
    for directory in imported:
        try:
            damage = read_model(directory).damage()
        except VirnucproError as error:
            damage = [str(error)]
        if damage:
            yield Finding("error", "model", f"{directory.name}: {damage[0]}; import or fetch it again")
        else:
            yield Finding("ok", "model", f"{directory.name} in {directory.parent}")
    if not imported:
        yield Finding(
            "warning",
            "model",
            f"none in {find_models_dir(models_dir).path}:"
            f" `{command_line('weights', 'fetch', RELEASED[0], models_dir=models_dir)}`; builtin-500 is for trying out",
        )
