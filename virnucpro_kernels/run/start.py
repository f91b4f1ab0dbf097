"""Decisions of one start of the workflow: every option, the samples and the configuration are read here, once."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from virnucpro_kernels.embed.gpu import list_gpus, visible_units
from virnucpro_kernels.embed.torch_build import build_problem
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.models.precisions import check_precision, no_original
from virnucpro_kernels.run.environment import snakemake_environment
from virnucpro_kernels.run.folder import FolderPlan, plan_folder
from virnucpro_kernels.run.installation import workflow_root
from virnucpro_kernels.run.launch import snakemake
from virnucpro_kernels.run.options import PredictOptions
from virnucpro_kernels.run.pools import POOLS
from virnucpro_kernels.run.profile import Profile, find_profile
from virnucpro_kernels.run.run import Run, make_run, seen_from

SNAKEFILE = workflow_root() / "Snakefile"


@dataclass(frozen=True)
class Start:
    """The decisions of one start of the workflow.

    Attributes:
        options: Options of the command.
        folder: Configuration and sample sheet that the run's folder is to hold.
        run: Samples, pools and model of the run, and the places of its files.
        gpus: Number of GPUs to use at once; 0 on a CPU and on a cluster.
        cores: Number of CPU cores to use on this machine.
        environment: Environment of Snakemake, in which only the chosen GPUs are visible.
        command: Command line of Snakemake.
        log: File that the output of Snakemake is appended to.
    """

    options: PredictOptions
    folder: FolderPlan
    run: Run
    gpus: int
    cores: int
    environment: Mapping[str, str]
    command: Sequence[str]
    log: Path


def plan_start(options: PredictOptions) -> Start:
    """Decide what a start of the workflow will do. Nothing is written but a copy of standard input.

    Raises:
        UsageError: the options, the configuration or the samples are wrong, or the machine cannot do what they ask for.
        DamagedFileError: the model is damaged.
    """
    profile = find_profile(options.profile) if options.profile is not None else None
    on_cluster = profile is not None and profile.submits
    folder = plan_folder(options.directory, options.inputs, options.sheet, options.config, options.settings)
    config = seen_from(options.directory, folder.config)
    run = make_run(config, folder.samples, pools=options.directory / POOLS, on_cluster=on_cluster)
    _check_precision(run, options.directory, on_cluster)
    environment = snakemake_environment(options.directory)
    gpus, visible = choose_gpus(options.gpus, "elsewhere" if profile else run.device, environment)
    if gpus and (problem := build_problem()):
        raise UsageError(problem)
    # Two jobs for each GPU: one computes, the other gets ready and waits for the lease. Where there are more GPUs than
    # the run may use, the lease would give the second job one of them.
    jobs = 2 * gpus if gpus == visible else gpus
    log = options.log or options.directory / "logs" / "snakemake.log"
    cores = options.threads or len(os.sched_getaffinity(0))
    command = snakemake_command(options, profile, jobs, cores)
    return Start(options, folder, run, gpus, cores, environment, command, log)


def _check_precision(run: Run, directory: Path, on_cluster: bool) -> None:
    """Refuse a precision in which no embedding job could compute. The nodes of a cluster are not known here."""
    for one in run.embeddings:
        if one.precision == "original":
            for pool in one.pools:
                if not (directory / one.embedding_dir(pool)).is_dir():
                    raise no_original(f"for pool {pool} in {directory}")
        elif not on_cluster:
            try:
                check_precision(one.precision, one.device, one.model.protein.layers)
            except UsageError as error:
                raise UsageError(f"setting {one.setting}: {error}" if one.setting else str(error)) from error


def choose_gpus(wanted: str, device: str, environment: dict[str, str]) -> tuple[int, int]:
    """Return how many GPUs to use at once and how many are visible; have `environment` show no others than listed.

    Raises:
        UsageError: there are not so many GPUs, or none of that number or UUID.
    """
    if device == "cpu" and wanted != "auto":
        raise UsageError(
            f"--gpus {wanted}: this run computes on the CPU, because its configuration says so or no GPU was found"
        )
    if device != "cuda":
        return 0, 0
    if "," in wanted:
        environment["CUDA_VISIBLE_DEVICES"] = wanted
    elif wanted != "auto" and not wanted.isdigit():
        raise UsageError(f"--gpus {wanted}: must be auto, a number of GPUs, or a list such as 0,2")
    visible = len(visible_units(list_gpus(), environment.get("CUDA_VISIBLE_DEVICES")))
    count = int(wanted) if wanted.isdigit() else visible
    if count > visible or count == 0:
        raise UsageError(f"--gpus {wanted}: {visible} GPUs are visible; use --device cpu to run without a GPU")
    return count, visible


def snakemake_command(
    options: PredictOptions, profile: Profile | None, embed_jobs: int, cores: int, *, snakefile: Path = SNAKEFILE
) -> list[str]:
    """Return the command line of Snakemake."""
    arguments: list[str | Path] = ["--snakefile", snakefile, "--directory", options.directory]
    # Else Snakemake takes the profiles/default of whatever workflow lies in the working directory.
    arguments += ["--workflow-profile", workflow_root() / "profiles" / "default"]
    if options.threads or not (profile and profile.limits_cores):
        arguments += ["--cores", str(cores)]
    if profile:
        arguments += ["--profile", profile.folder]
    if embed_jobs:
        arguments += ["--resources", f"gpu={embed_jobs}"]
    if options.force:
        arguments += ["--forceall"]
    if options.dry_run:
        # A dry run prints the number of jobs of each rule and the reasons, with --verbose each job with its command.
        arguments += ["--dry-run"] if options.verbose else ["--dry-run", "--quiet", "rules"]
    return snakemake(*arguments, *options.snakemake)
