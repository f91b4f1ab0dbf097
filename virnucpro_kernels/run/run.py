"""A run: its samples, pools and model, and the path of each of its files. The workflow and the commands share it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from virnucpro_kernels.embed.gpu import count_gpus
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import expand_user
from virnucpro_kernels.models.precisions import choose_device, choose_embedding_dtype, choose_precision
from virnucpro_kernels.pool.file_names import (
    FIGURE_NAMES,
    FIGURES,
    MULTIQC_TABLES,
    ORIGINAL_FILES,
    REPORT,
    RESULT_TABLES,
    RESULTS,
    SWEEP_FIGURE,
    SWEEP_TABLE,
    WORK,
    record_name,
)
from virnucpro_kernels.pool.geometry import Geometry, Layout
from virnucpro_kernels.pool.tokens import BASES_PER_PROTEIN_TOKEN
from virnucpro_kernels.run.config import Config, complete_config
from virnucpro_kernels.run.pools import Assignment, assign, estimate_bases, read_pools
from virnucpro_kernels.run.samples import Sample, name_samples, read_sheet
from virnucpro_kernels.run.sweep import read_sweep
from virnucpro_kernels.weights.registry import Model, find_model

#: The stages that every chunk goes through, in order.
CHUNK_STAGES = ("embed", "merge", "classify")


@dataclass(frozen=True)
class Run:
    """The run that a configuration describes. All paths are relative to the working directory of the workflow.

    A sweep is one run for each setting; they share samples, pools, device and `work/`. The first of them has them all.

    Attributes:
        config: Complete configuration.
        samples: Samples in the order of the sheet.
        assignments: Pools of the samples whose sheet names none, those of earlier starts first.
        model: Model, with its window length, encoders and classifier.
        device: Device of the embedding jobs, `cpu` or `cuda`.
        precision: Precision of the encoders, never `auto`.
        setting: Name of the setting in a sweep; empty outside of one.
        sweep: Runs of all settings, in the first of them; empty in the others and outside of a sweep.
        training: Configuration of the training that embeds these samples; None for a run that scores them.
    """

    config: Mapping[str, Any]
    samples: tuple[Sample, ...]
    assignments: tuple[Assignment, ...]
    model: Model
    device: str
    precision: str
    setting: str = ""
    sweep: tuple["Run", ...] = ()
    training: Mapping[str, Any] | None = None

    @property
    def settings(self) -> tuple["Run", ...]:
        """The runs of all settings; outside of a sweep, the run alone."""
        return self.sweep or (self,)

    @property
    def embeddings(self) -> list["Run"]:
        """Of the settings that share their embeddings, the first ones."""
        return _first_of_each(self.settings, lambda run: (run.geometry, run.encoders))

    @property
    def scorings(self) -> list["Run"]:
        """Of the settings that share their scores, the first ones."""
        return _first_of_each(self.settings, lambda run: (run.geometry, run.encoders, run.model.model_id))

    def of_job(self, wildcards: Mapping[str, str]) -> "Run":
        """Return the run of a job by what its outputs' path names; settings with the same path share the job.

        Raises:
            UsageError: no setting has such a path.
        """
        for run in self.settings:
            parts = {
                "geometry": run.geometry,
                "encoders": run.encoders,
                "model": run.model.model_id,
                "setting": run.setting,
            }
            if all(wildcards.get(name, part) == part for name, part in parts.items()):
                return run
        named = ", ".join(f"{name} {value}" for name, value in wildcards.items())
        raise UsageError(
            f"{named}: this is no file of this configuration; change the configuration, or ask for another"
        )

    @property
    def layout(self) -> str:
        """Layout of the windows: that of the configuration, or else the one on which the model was trained."""
        return self.config["layout"] or self.model.layout

    @property
    def geometry(self) -> str:
        """Window length and layout, as `Geometry` writes them."""
        return str(Geometry(self.model.window_length, cast("Layout", self.layout), self.config["min_segment"]))

    @property
    def encoders(self) -> str:
        """Name of both encoders and the precision, as it stands in paths."""
        return self.model.encoders_id(self.precision)

    @property
    def pools(self) -> dict[str, list[Sample]]:
        """Samples of each pool, both in the order of the sheet."""
        automatic = {assignment.sample: assignment.pool for assignment in self.assignments}
        pools: dict[str, list[Sample]] = {}
        for sample in self.samples:
            pools.setdefault(sample.pool or automatic[sample.name], []).append(sample)
        return pools

    @property
    def bytes_per_value(self) -> int:
        """Bytes of one value of a stored embedding."""
        return 4 if choose_embedding_dtype(self.config["embedding_dtype"], self.precision) == "float32" else 2

    def split_dir(self, pool: str) -> Path:
        """Return the folder of a pool's manifest, tables and chunks."""
        return WORK / self.geometry / pool

    def embedding_dir(self, pool: str) -> Path:
        """Return the folder of a pool's embeddings and features."""
        return self.split_dir(pool) / self.encoders

    def score_dir(self, pool: str) -> Path:
        """Return the folder of a pool's scores."""
        return self.embedding_dir(pool) / self.model.model_id

    @property
    def results_root(self) -> Path:
        """Folder of all results, `results` or `results-{label}`."""
        label = self.config["label"]
        return RESULTS.with_name(f"{RESULTS}-{label}") if label else RESULTS

    @property
    def results(self) -> Path:
        """Folder of the samples' results: that of all results, in a sweep the setting's folder in it."""
        return self.results_root / self.setting

    @property
    def comparison(self) -> tuple[Path, ...]:
        """Table and figure that compare the settings of a sweep; none outside of one."""
        names = (SWEEP_TABLE, SWEEP_FIGURE) if self.setting else ()
        return tuple(self.results_root / name for name in names)

    @property
    def report(self) -> dict[str, Path]:
        """The report, named `page`, its figures and tables by name; empty where the configuration leaves it out.

        Distributions side by side need two samples.
        """
        if not self.config["report"]:
            return {}
        several = len(self.samples) * len(self.settings) > 1
        figures = {
            name: self.results_root / FIGURES / f"{name}.svg" for name in FIGURE_NAMES if several or name != "strips"
        }
        tables = {Path(name).stem: self.results_root / name for name in MULTIQC_TABLES}
        return {"page": self.results_root / REPORT, **figures, **tables}

    def result_name(self, sample: str) -> str:
        """Return the name of a sample's results: that of the sample, in a sweep after that of the setting."""
        return f"{self.setting}/{sample}" if self.setting else sample

    def _job_dir(self, stage: str, unit: str) -> Path:
        """Return the folder of a job's outputs. `unit` is a sample for `collect` and a pool for all other stages."""
        match stage:
            case "split":
                return self.split_dir(unit)
            case "embed" | "merge":
                return self.embedding_dir(unit)
            case "classify":
                return self.score_dir(unit)
            case "collect":
                return self.results / unit
        raise ValueError(stage)

    def record_path(self, stage: str, unit: str, chunk: str = "") -> Path:
        """Return the path of a job's record."""
        return self._job_dir(stage, unit) / record_name(stage, chunk)

    def log_path(self, stage: str, unit: str, chunk: str = "") -> Path:
        """Return the path of a job's log, as its rule declares it."""
        folder = Path("logs", stage, *self._job_dir(stage, unit).parts[1:])
        return folder / f"{chunk}.log" if chunk else folder.with_name(f"{folder.name}.log")

    @property
    def result_names(self) -> tuple[str, ...]:
        """Names of the files of each sample."""
        return RESULT_TABLES if self.config["original_files"] == "none" else RESULT_TABLES + ORIGINAL_FILES

    def result_paths(self, sample: str) -> list[Path]:
        """Return the paths of the files of a sample."""
        return [self.results / sample / name for name in self.result_names]


def _first_of_each(runs: Sequence[Run], key: Callable[[Run], tuple[str, ...]]) -> list[Run]:
    """Return the first run with each value of `key`, in order."""
    first: dict[tuple[str, ...], Run] = {}
    for run in runs:
        first.setdefault(key(run), run)
    return list(first.values())


def load_run(config: Mapping[str, Any], *, sheet_folders: Sequence[Path], pools: Path, on_cluster: bool) -> Run:
    """Return the run that a configuration describes, in the present working directory.

    Args:
        config: Keys as in config/README.md; missing ones take their defaults.
        sheet_folders: Folders in which a relative path of a sample sheet or a sweep is looked up, in this order.
        pools: Table of the assignments of samples to pools that earlier starts made.
        on_cluster: Whether jobs run elsewhere, so that the GPUs of this machine say nothing.

    Raises:
        UsageError: the configuration, the sheet, the sweep or the model's name is wrong.
        DamagedFileError: the model or the table of pools is damaged.
    """
    complete = complete_config(config)
    samples = _configured_samples(complete, sheet_folders)
    sweep = {"sweep": str(_found(complete["sweep"], sheet_folders))} if complete["sweep"] else {}
    return make_run({**config, **sweep}, samples, pools=pools, on_cluster=on_cluster)


def seen_from(directory: Path, config: Mapping[str, Any]) -> Config:
    """Return a configuration whose table of settings, where it has one, lies relative to the folder of the run."""
    return {**config, "sweep": str(directory / config["sweep"])} if config.get("sweep") else dict(config)


def make_run(config: Mapping[str, Any], samples: Sequence[Sample], *, pools: Path, on_cluster: bool) -> Run:
    """Return the run of `samples`; arguments and errors as for `load_run`."""
    complete = complete_config(config)
    assignments = _assignments(samples, pools, complete["chunk_tokens"])
    gpu_available = on_cluster or bool(count_gpus())

    def configured(config: Config, setting: str = "") -> Run:
        models_dir = expand_user(config["models_dir"]) if config["models_dir"] else None
        model = find_model(config["model"], models_dir)
        if config["fdr"] is not None:
            model.calibrated()  # or an error, before anything is computed
        device = choose_device(config["device"], gpu_available=gpu_available)
        precision = choose_precision(config["precision"], device)
        return Run(config, tuple(samples), assignments, model, device, precision, setting)

    if not complete["sweep"]:
        return configured(complete)
    runs = []
    for setting in read_sweep(Path(complete["sweep"]), config):
        try:
            runs.append(configured(setting.config, setting.name))
        except UsageError as error:
            raise UsageError(f"{setting.where}, setting {setting.name}: {error}") from error
    return replace(runs[0], sweep=tuple(runs))


def _assignments(samples: Sequence[Sample], pools: Path, chunk_tokens: int) -> tuple[Assignment, ...]:
    """Return the pools of all samples whose sheet names none, those in the table `pools` first."""
    known = read_pools(pools)
    unknown = {
        sample.name: sum(map(estimate_bases, sample.inputs))
        for sample in samples
        if not sample.pool and sample.name not in known
    }
    return (*known.values(), *assign(samples, known, unknown, chunk_tokens * BASES_PER_PROTEIN_TOKEN))


def _configured_samples(config: Mapping[str, Any], sheet_folders: Sequence[Path]) -> list[Sample]:
    if config["input"]:
        return name_samples([Path(config["input"])])
    return read_sheet(_found(config["samples"], sheet_folders))


def _found(name: str, folders: Sequence[Path]) -> Path:
    """Return the path of a file in the first of the folders that has it, or in the first folder."""
    paths = [folder / name for folder in folders]
    return next((path for path in paths if path.exists()), paths[0])
