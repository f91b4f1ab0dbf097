"""The whole workflow for people who do not know Snakemake: set up, started, watched, summed up."""

import os
import sys
from pathlib import Path

from virnucpro_kernels.embed.gpu import list_gpus, visible_units
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.models.precisions import check_precision, no_original
from virnucpro_kernels.pool.file_names import MANIFEST
from virnucpro_kernels.pool.unusable import forget_split_of_repaired
from virnucpro_kernels.run.folder import plan_run
from virnucpro_kernels.run.installation import workflow_root
from virnucpro_kernels.run.launch import (
    LOCAL_EXECUTORS,
    check_executor,
    find_profile,
    profile_keys,
    run_lock,
    snakemake,
    unlock,
)
from virnucpro_kernels.run.pools import POOLS
from virnucpro_kernels.run.run import Run, load_run
from virnucpro_kernels.run.session import Request, Session


def predict(request: Request) -> int:
    """Run the workflow; return the exit code.

    Raises:
        VirnucproError: nothing was started: wrong usage, a damaged model, another run in the same folder.
        InterruptedRunError: Ctrl-C or a signal came; nothing runs any more.
    """
    directory = request.directory
    profile = find_profile(request.profile)
    if profile:
        check_executor(profile)
    with run_lock(directory) as lock:
        plan = plan_run(directory, request.inputs, request.sheet, request.config, request.settings)
        on_cluster = profile is not None and profile_keys(profile).get("executor") not in LOCAL_EXECUTORS
        run = load_run(
            plan.config,
            samples=plan.samples,
            sheet_folders=[directory],
            pools=directory / POOLS,
            on_cluster=on_cluster,
        )
        _check_precision(run, directory, on_cluster)
        gpus, environment = _choose_gpus(request.gpus, run.device if profile is None else "elsewhere")
        command = _command(request, profile, gpus)
        log = request.log or directory / "logs" / "snakemake.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        snakefile = workflow_root() / "Snakefile"
        unlock(directory, snakefile, log)
        session = Session(request, run, log, lock)
        if request.dry_run:  # leaves nothing to go on with
            with plan.written_for_now():
                return session.execute(command, environment, gpus)
        plan.write()
        for pool, samples in run.pools.items():
            manifest = directory / run.split_dir(pool) / MANIFEST
            forget_split_of_repaired(manifest, {sample.name: sample.input for sample in samples})
        return session.execute(command, environment, gpus)


def _check_precision(run: Run, directory: Path, on_cluster: bool) -> None:
    """Refuse what no embedding job could compute, before anything is split. What a cluster has, nobody knows here."""
    if run.precision == "original":
        for pool in run.pools:
            if not (directory / run.embedding_dir(pool)).is_dir():
                raise no_original(f"{directory} has none for pool {pool}")
    elif not on_cluster:
        check_precision(run.precision, run.device, run.model.protein.layers)


def _choose_gpus(wanted: str, device: str) -> tuple[int, dict[str, str]]:
    """Number of GPUs to use at once, and the environment in which only they are visible.

    Raises:
        UsageError: there are not that many, or no such.
    """
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    if device == "cpu" and wanted != "auto":
        raise UsageError(f"--gpus {wanted}: this run computes on the CPU, by its configuration or for want of a GPU")
    if device != "cuda":
        return 0, environment
    if "," in wanted:
        environment["CUDA_VISIBLE_DEVICES"] = wanted
    elif wanted != "auto" and not wanted.isdigit():
        raise UsageError(f"--gpus {wanted}: must be auto, a number of GPUs, or a list such as 0,2")
    visible = len(visible_units(list_gpus(), environment.get("CUDA_VISIBLE_DEVICES")))
    count = int(wanted) if wanted.isdigit() else visible
    if count > visible or count == 0:
        raise UsageError(f"--gpus {wanted}: {visible} GPUs are visible; --device cpu does without")
    return count, environment


def _command(request: Request, profile: Path | None, gpus: int) -> list[str]:
    """The command line of Snakemake."""
    keys = profile_keys(profile) if profile else {}
    options: list[str | Path] = ["--snakefile", workflow_root() / "Snakefile", "--directory", request.directory]
    if request.threads or not {"cores", "jobs"} & keys.keys():
        options += ["--cores", str(request.threads or len(os.sched_getaffinity(0)))]
    if profile:
        options += ["--profile", profile]
    if gpus:
        options += ["--resources", f"gpu={gpus}"]
    if request.force:
        options += ["--forceall"]
    if request.dry_run:
        # How many jobs of which rule, and why; each with its command where the user wants to see more.
        options += ["--dry-run"] if request.verbose else ["--dry-run", "--quiet", "rules"]
    return snakemake(*options)
