"""Diagnosis of an installation: what runs here, whether it can work, and what to do where it cannot."""

import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import h5py

from virnucpro_kernels.embed.gpu import driver_version, list_gpus, visible_units
from virnucpro_kernels.embed.torch_build import build_problem
from virnucpro_kernels.errors import VirnucproError
from virnucpro_kernels.files import check_writable, take_lock
from virnucpro_kernels.run.environment import has_writable_cache
from virnucpro_kernels.run.installation import workflow_root
from virnucpro_kernels.run.requirements import embed_memory_mb
from virnucpro_kernels.score.run_record import describe_software
from virnucpro_kernels.weights.registry import (
    BUILTIN_DIRECTORY,
    BUNDLED,
    RELEASED,
    find_model,
    model_directories,
    read_model,
)
from virnucpro_kernels.weights.site import command_line, find_models_dir

Severity = Literal["ok", "warning", "failure"]

#: Free space below which a run is likely to fill the disk of its folder, or that of temporary files.
_LITTLE_DISK_GB = 10.0
_LITTLE_TEMPORARY_GB = 1.0
_SLURM_SECONDS = 20


@dataclass(frozen=True)
class Finding:
    """One finding of the diagnosis.

    Attributes:
        severity: `ok`, `warning` (works, but not all of it) or `failure` (runs will fail).
        subject: Part of the installation.
        text: State of that part and, unless it is ok, what to do.
    """

    severity: Severity
    subject: str
    text: str


@dataclass(frozen=True)
class Subject:
    """What is diagnosed.

    Attributes:
        directory: Folder in which a run is to lie, or the one above it where it is not made yet.
        model: Name or folder of the model that is to be used; empty for all imported ones.
        models_dir: Folder of imported models; None for the site's or the user's own.
    """

    directory: Path
    model: str
    models_dir: Path | None


def report(subject: Subject, say: Callable[[str], object], *, as_json: bool) -> bool:
    """Print the findings of all checks as a table or as JSON; return whether there is no failure among them."""
    findings = []
    for finding in diagnose(subject):
        findings.append(finding)
        if not as_json:
            say(f"{finding.severity:<8} {finding.subject:<10} {finding.text}")
    if as_json:
        say(json.dumps([asdict(finding) for finding in findings], indent=1))
    return not any(finding.severity == "failure" for finding in findings)


def diagnose(subject: Subject) -> Iterator[Finding]:
    """Yield the findings of all checks; a check that fails is a finding, and the others go on."""
    for check in (_software, _machine, _disk, _gpus, _torch, _kernels, _workflow, _slurm, _models):
        try:
            yield from check(subject)
        except VirnucproError as error:
            yield Finding("failure", check.__name__.strip("_"), str(error))


def _software(_: Subject) -> Iterator[Finding]:
    software = describe_software()
    commit = f", commit {software['commit'][:12]}" if software["commit"] else ""
    yield Finding("ok", "virnucpro", f"{software['version']}{commit}, Python {software['python']}")
    yield Finding("ok", "packages", ", ".join(f"{name} {version}" for name, version in software["packages"].items()))


def _machine(_: Subject) -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0))
    yield Finding("ok", "machine", f"{platform.platform()}, {cores} CPU cores to use, {_memory_gb():.0f} GB of memory")


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _disk(subject: Subject) -> Iterator[Finding]:
    temporary = Path(tempfile.gettempdir())
    for name, folder, little in (
        ("disk", subject.directory, _LITTLE_DISK_GB),
        ("TMPDIR", temporary, _LITTLE_TEMPORARY_GB),
    ):
        try:
            check_writable(folder)
        except OSError as error:
            yield Finding("failure", name, f"{folder} cannot be written ({error}); choose another folder")
            continue
        free = shutil.disk_usage(folder).free / 1e9
        severity: Severity = "ok" if free >= little else "warning"
        yield Finding(severity, name, f"{free:,.1f} GB free in {folder}" + ("; free some" * (severity != "ok")))
    yield from _file_system(subject.directory)


def _file_system(directory: Path) -> Iterator[Finding]:
    """Try on the run's own file system what every run needs of it: locks, and HDF5 files."""
    try:
        with tempfile.TemporaryDirectory(dir=directory, prefix=".doctor-") as name:
            os.close(take_lock(Path(name, "lock"), if_taken=lambda: None))
            with h5py.File(Path(name, "file.h5"), "w", locking=False) as file:
                file["values"] = [1.0]
            with h5py.File(Path(name, "file.h5"), "r", locking=False) as file:
                whole = file["values"][0] == 1.0
    except OSError as error:
        yield Finding(
            "failure", "files", f"{directory}: locks or HDF5 files do not work there ({error}); choose another"
        )
        return
    severity: Severity = "ok" if whole else "failure"
    yield Finding(severity, "files", f"locks and HDF5 files (which need no locks of HDF5's own) work in {directory}")


def _gpus(_: Subject) -> Iterator[Finding]:
    gpus = list_gpus()
    if not gpus:
        yield Finding("warning", "gpus", "no NVIDIA GPU, or no driver for it: embeddings are computed on the CPU")
        return
    units = visible_units(gpus, os.environ.get("CUDA_VISIBLE_DEVICES"))
    names = ", ".join(gpu.name or "one that does not answer" for gpu in gpus)
    yield Finding("ok", "gpus", f"{names}; driver {driver_version()}; {len(units)} may be used")


def _torch(_: Subject) -> Iterator[Finding]:
    import torch

    from virnucpro_kernels.ops.prepare import prepare

    target = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPUs only"
    build = f"PyTorch {torch.__version__}, for {target}"
    if not list_gpus():
        yield Finding("ok", "torch", build)
    elif problem := build_problem():
        yield Finding("failure", "torch", problem)
    elif torch.cuda.is_available():
        prepare(torch.device("cuda"))
        yield Finding("ok", "torch", f"{build}; kernels can be compiled and launched")
    else:
        remedy = "restart the machine after an update of the driver, or run with --device cpu"
        yield Finding("failure", "torch", f"{build}, finds no GPU it can use: {remedy}")


def _kernels(_: Subject) -> Iterator[Finding]:
    """Run every kernel on a small input beside its reference, where there is a GPU."""
    import torch

    from virnucpro_kernels.ops.configs import kernel_config
    from virnucpro_kernels.ops.jit import TRITON_INSTALLED, triton
    from virnucpro_kernels.tools.kernel_check import compare_kernels

    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    if not list_gpus() or not torch.cuda.is_available() or not TRITON_INSTALLED:
        yield Finding("ok", "kernels", f"not tried, for want of a GPU; C compiler: {compiler or 'none'}")
        return
    device = torch.device("cuda")
    yield Finding("ok", "compiler", f"{compiler}; compiled kernels are kept in {triton.knobs.cache.dir}")
    for kernel in compare_kernels(device, kernel_config(device)):
        said = f"{kernel.kernel}: differs by {kernel.error:.1e} from its reference"
        remedy = "" if kernel.is_good else "; this GPU or its software is faulty: run elsewhere, and report this"
        yield Finding("ok" if kernel.is_good else "failure", "kernel", said + remedy)


def _workflow(_: Subject) -> Iterator[Finding]:
    yield Finding("ok", "workflow", f"{workflow_root()}, Snakemake {metadata.version('snakemake')}")
    if not has_writable_cache():
        yield Finding(
            "warning",
            "cache",
            "Snakemake cannot write its cache in the home directory: `predict` keeps it in the run's folder; for plain"
            " snakemake, set XDG_CACHE_HOME to another folder",
        )


def _slurm(_: Subject) -> Iterator[Finding]:
    if not shutil.which("sbatch"):
        return
    plugin = "snakemake-executor-plugin-slurm"
    if not find_spec(plugin.replace("-", "_")):
        yield Finding("warning", "slurm", f"sbatch at hand, but --profile slurm needs: pip install {plugin}")
        return
    found = f"sbatch at hand, {plugin} {metadata.version(plugin)}"
    try:
        asked = subprocess.run(
            ["sinfo", "--noheader", "--format=%P"], capture_output=True, text=True, check=False, timeout=_SLURM_SECONDS
        )
        said = asked.stderr.strip().rpartition("\n")[2] if asked.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error)
    if said:
        yield Finding("warning", "slurm", f"{found}; Slurm does not answer ({said}): --profile slurm will fail")
    else:
        yield Finding("ok", "slurm", f"{found}; partitions: {', '.join(asked.stdout.split())}")


def _models(subject: Subject) -> Iterator[Finding]:
    models_dir = subject.models_dir
    yield Finding("ok", "models", f"folder {find_models_dir(models_dir)}")
    if subject.model:
        yield from _one_model(find_model(subject.model, models_dir).directory)
        return
    imported = [path for path in model_directories(models_dir) if path.parent != BUILTIN_DIRECTORY]
    for directory in imported:
        yield from _one_model(directory)
    if not imported:
        yield Finding(
            "warning",
            "model",
            f"none in {find_models_dir(models_dir).path}:"
            f" `{command_line('weights', 'fetch', RELEASED[0], models_dir=models_dir)}`;"
            f" {BUNDLED} is part of the package",
        )


def _one_model(directory: Path) -> Iterator[Finding]:
    try:
        model = read_model(directory)
        damage = model.damage()
    except VirnucproError as error:
        damage = [str(error)]
    if damage:
        yield Finding("failure", "model", f"{directory.name}: {damage[0]}; import or fetch it again")
        return
    yield Finding("ok", "model", f"{directory.name} in {directory.parent}")
    needed, here = embed_memory_mb(model, "cuda" if list_gpus() else "cpu") / 1e3, _memory_gb()
    if needed > here:
        yield Finding(
            "warning", "memory", f"{directory.name} needs {needed:.0f} GB in `embed`, and there are {here:.0f} GB here"
        )
