"""`virnucpro train`: the workflow of a training for people who do not know Snakemake."""

import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from virnucpro_kernels import __version__
from virnucpro_kernels.embed.torch_build import build_problem
from virnucpro_kernels.errors import DamagedFileError, GpuMemoryError, InterruptedRunError, UsageError, VirnucproError
from virnucpro_kernels.files import expand_user
from virnucpro_kernels.models.precisions import check_precision
from virnucpro_kernels.pool.file_names import MANIFEST, WORK, record_name
from virnucpro_kernels.pool.job_record import LINE_EVERY_SECONDS, TimeLeft, read_job
from virnucpro_kernels.pool.manifest import read_manifest
from virnucpro_kernels.run.config import Config, read_config, write_config
from virnucpro_kernels.run.environment import snakemake_environment
from virnucpro_kernels.run.installation import workflow_root
from virnucpro_kernels.run.launch import watch
from virnucpro_kernels.run.locks import refuse_snakemake, run_lock
from virnucpro_kernels.run.mend import mend_files, mend_pool, mend_snakemake
from virnucpro_kernels.run.options import PredictOptions
from virnucpro_kernels.run.profile import find_profile
from virnucpro_kernels.run.run import Run
from virnucpro_kernels.run.snakemake_log import last_error
from virnucpro_kernels.run.start import choose_gpus, snakemake_command
from virnucpro_kernels.run.training import DRAWN, MODELS, POOL, complete_training, load_training
from virnucpro_kernels.train.genomes import read_genomes
from virnucpro_kernels.weights.registry import Model, read_model

CONFIG = Path("config", "training.yaml")
_CLASSES = {error.exit_code: error for error in (DamagedFileError, GpuMemoryError, UsageError)}


def train(options: PredictOptions) -> tuple[Model, bool]:
    """Run the training, or go on with one that was stopped.

    Args:
        options: As for `predict`; `config` and `settings` have the keys of a training.

    Returns:
        The model, and whether a calibrated one has given its place to it, which has no calibration.

    Raises:
        UsageError: the configuration or the table of genomes cannot be used, such as for a group on two sides.
        DamagedFileError: the model that is there already is damaged.
        VirnucproError: the training failed.
        InterruptedRunError: Ctrl-C or a signal came; no job runs any more.
    """
    config = _configuration(options)
    genomes = read_genomes(Path(config["genomes"]), config["seed"])
    profile = find_profile(options.profile) if options.profile is not None else None
    on_cluster = profile is not None and profile.submits
    run = load_training(config, on_cluster=on_cluster)
    if not on_cluster:
        check_precision(run.precision, run.device, run.model.protein.layers)
    environment = snakemake_environment(options.directory)
    gpus, _ = choose_gpus(options.gpus, "elsewhere" if profile else run.device, environment)
    if gpus and (problem := build_problem()):
        raise UsageError(problem)
    cores = options.threads or len(os.sched_getaffinity(0))
    command = snakemake_command(options, profile, gpus, cores, snakefile=workflow_root() / "workflow" / "train.smk")
    directory: Path = options.directory / MODELS / config["name"]
    with run_lock(options.directory) as lock:
        refuse_snakemake(options.directory)
        for mend in (mend_files, mend_snakemake):
            mend(options.directory, lambda line: _say(options, line))
        write_config(options.directory / CONFIG, config)
        _say(options, f"virnucpro {__version__}, training of {config['name']} on the encoders of {run.model.name}")
        _say(options, f"  genomes  {len(genomes.genomes):,} lines of {config['genomes']}")
        _say(options, f"  windows  {run.model.window_length} bp, {run.model.layout}, frames: {config['frames']}")
        _say(options, f"  computes on {run.device} in {run.precision}, recipe {config['recipe']}")
        _say(options, f"  writes   {directory}")
        calibrated = _is_calibrated(directory)
        _watch(options, run, command, environment, lock)
        model = read_model(directory)
    return model, calibrated and model.calibration is None


def _is_calibrated(directory: Path) -> bool:
    """Whether there is a model in a directory, and it has a calibration."""
    try:
        return read_model(directory).calibration is not None
    except DamagedFileError:
        return False


def _configuration(options: PredictOptions) -> Config:
    """Return the complete configuration: that of the folder or of a file, and over it the options."""
    path = options.config or options.directory / CONFIG
    kept = read_config(path) if options.config or path.exists() else {}
    config = complete_training({**kept, **options.settings}, str(path) if options.config else "options")
    # The folder's configuration has to mean the same in any working directory.
    for key in ("genomes", "base", "models_dir"):
        if config[key] and expand_user(config[key]).exists():
            config[key] = str(Path.cwd() / expand_user(config[key]))
    return config


def _watch(options: PredictOptions, run: Run, command: list[str], environment: dict[str, str], lock: int) -> None:
    """Run Snakemake and say how far the training is."""
    log = options.log or options.directory / "logs" / "snakemake.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    begin, since = log.stat().st_size if log.exists() else 0, time.time()
    progress = _Progress(run, options.directory, lambda line: _say(options, line))
    try:
        code = watch(command, environment=environment, log=log, lock=lock, tick=progress.tell)
    except KeyboardInterrupt:
        raise InterruptedRunError("finished work is kept; run the same command to go on") from None
    if code:
        _explain(options, run, log, begin, since)


def _explain(options: PredictOptions, run: Run, log: Path, begin: int, since: float) -> NoReturn:
    """Raise the error of the job that failed, from its record; or else what Snakemake's log says."""
    for path in sorted((options.directory / WORK).rglob("*.json")):
        record = read_job(path)
        if path.stat().st_mtime < since or record.get("state") not in ("failed", "running"):
            continue
        if record["state"] == "running":
            raise VirnucproError(
                f"{record['stage']}: killed, perhaps for want of memory; finished work is kept, and the same command"
                f" goes on (logs: {log.parent})"
            )
        error = _CLASSES.get(record["exit_code"], VirnucproError)
        if error is DamagedFileError:
            mend_pool(options.directory / run.split_dir(POOL), lambda line: _say(options, line))
        raise error(f"{record['stage']}: {record['error'].partition(': ')[2]} (logs: {log.parent})")
    with log.open(encoding="utf-8", errors="replace") as text:
        text.seek(begin)
        reason = textwrap.indent(last_error(text.read()), "  ")
    raise VirnucproError(f"the training failed; the end of its log {log}:\n{reason}")


def _say(options: PredictOptions, line: str) -> None:
    if not options.quiet:
        print(line, file=sys.stderr, flush=True)  # noqa: T201


class _Progress:
    """Progress of a training, a line for each stage that begins and one each half minute."""

    def __init__(self, run: Run, directory: Path, say: Callable[[str], object]) -> None:
        self._run, self._directory, self._say, self._since = run, directory, say, time.time()
        self._name = run.training["name"] if run.training else ""
        self._stage, self._shown, self._left = "", 0.0, TimeLeft()

    def tell(self) -> None:
        """Say how far the training is, if it is time to."""
        stage, done, total, more = self._read()
        if stage != self._stage:
            self._stage, self._left, self._shown = stage, TimeLeft(), -LINE_EVERY_SECONDS
        left = self._left.words(done, total)
        if stage and time.monotonic() - self._shown >= LINE_EVERY_SECONDS:
            self._shown = time.monotonic()
            self._say(f"{stage}: {100 * done / max(total, 1):.0f} %, {left}{more}")

    def _read(self) -> tuple[str, float, float, str]:
        """Return stage, work done, all work, and what else there is to say, of the stage that runs now."""
        record = self._running(record_name("fit", self._name))
        if record:
            more = f"; epoch {record['epoch']}, loss on val {record['val_loss']}" if "epoch" in record else ""
            return "training", record["done"], record["total"], more
        record = self._running(record_name("draw"))
        if record:
            return "drawing windows", record["done"], record["total"], ""
        chunks = list(self._chunks())
        total = sum(tokens for _, tokens in chunks)
        done = sum(_fraction(record) * tokens for record, tokens in chunks)
        return ("embedding", done, total, "") if done < total else ("", 0, 0, "")

    def _running(self, name: str) -> dict[str, Any]:
        """Return the record of a job that runs now; empty where it does not, or where an earlier start left it."""
        path = self._directory / DRAWN / name
        record = read_job(path)
        return record if record.get("state") == "running" and path.stat().st_mtime >= self._since else {}

    def _chunks(self) -> Iterator[tuple[dict[str, Any], int]]:
        """Yield the record of the embedding job and the tokens of each chunk that is known."""
        for pool in self._run.pools:
            manifest = self._directory / self._run.split_dir(pool) / MANIFEST
            if manifest.exists():
                for chunk in read_manifest(manifest):
                    record = self._directory / self._run.record_path("embed", pool, chunk.chunk)
                    yield read_job(record), chunk.protein_tokens


def _fraction(record: dict[str, Any]) -> float:
    if record.get("state") == "complete":
        return 1.0
    return min(record["done"] / record["total"], 0.999) if record.get("total") else 0.0
