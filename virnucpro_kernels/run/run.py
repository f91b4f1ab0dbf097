"""A run: its samples, pools and model, and the path of each of its files. The workflow and the commands share it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from virnucpro_kernels.embed.gpu import count_gpus
from virnucpro_kernels.files import expand_user
from virnucpro_kernels.models.precisions import choose_device, choose_embedding_dtype, choose_precision
from virnucpro_kernels.pool.file_names import ORIGINAL_FILES, RESULT_TABLES, RESULTS, WORK, record_name
from virnucpro_kernels.pool.tokens import BASES_PER_PROTEIN_TOKEN
from virnucpro_kernels.run.config import Config, complete_config
from virnucpro_kernels.run.pools import Assignment, assign, estimate_bases, read_pools
from virnucpro_kernels.run.samples import Sample, name_samples, read_sheet
from virnucpro_kernels.weights.registry import Model, find_model

#: The stages that every chunk goes through, in order.
CHUNK_STAGES = ("embed", "merge", "classify")


@dataclass(frozen=True)
class Run:
    """The run that a configuration describes. All paths are relative to the working directory of the workflow.

    Attributes:
        config: Complete configuration.
        samples: Samples in the order of the sheet.
        assignments: Pools of the samples whose sheet names none, those of earlier starts first.
        model: Model, with its window length, encoders and classifier.
        device: Device of the embedding jobs, `cpu` or `cuda`.
        precision: Precision of the encoders, never `auto`.
    """

    config: Mapping[str, Any]
    samples: tuple[Sample, ...]
    assignments: tuple[Assignment, ...]
    model: Model
    device: str
    precision: str

    @property
    def geometry(self) -> str:
        """Window length and layout, as in `500-original`."""
        return f"{self.model.window_length}-{self.config['layout']}"

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
    def results(self) -> Path:
        """Folder of the samples' results, `results` or `results-{label}`."""
        label = self.config["label"]
        return RESULTS.with_name(f"{RESULTS}-{label}") if label else RESULTS

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


def load_run(config: Mapping[str, Any], *, sheet_folders: Sequence[Path], pools: Path, on_cluster: bool) -> Run:
    """Return the run that a configuration describes, in the present working directory.

    Args:
        config: Keys as in config/README.md; missing ones take their defaults.
        sheet_folders: Folders in which a relative path of a sample sheet is looked up, in this order.
        pools: Table of the assignments of samples to pools that earlier starts made.
        on_cluster: Whether jobs run elsewhere, so that the GPUs of this machine say nothing.

    Raises:
        UsageError: the configuration, the sheet or the model's name is wrong.
        DamagedFileError: the model or the table of pools is damaged.
    """
    complete = complete_config(config)
    return make_run(complete, _configured_samples(complete, sheet_folders), pools=pools, on_cluster=on_cluster)


def make_run(config: Config, samples: Sequence[Sample], *, pools: Path, on_cluster: bool) -> Run:
    """Return the run of `samples` with a complete configuration; arguments and errors as for `load_run`."""
    models_dir = expand_user(config["models_dir"]) if config["models_dir"] else None
    model = find_model(config["model"], models_dir)
    device = choose_device(config["device"], gpu_available=on_cluster or bool(count_gpus()))
    precision = choose_precision(config["precision"], device)
    known = read_pools(pools)
    unknown = {
        sample.name: sum(map(estimate_bases, sample.inputs))
        for sample in samples
        if not sample.pool and sample.name not in known
    }
    new = assign(samples, known, unknown, config["chunk_tokens"] * BASES_PER_PROTEIN_TOKEN)
    return Run(config, tuple(samples), (*known.values(), *new), model, device, precision)


def _configured_samples(config: Mapping[str, Any], sheet_folders: Sequence[Path]) -> list[Sample]:
    if config["input"]:
        return name_samples([Path(config["input"])])
    sheets = [folder / config["samples"] for folder in sheet_folders]
    return read_sheet(next((sheet for sheet in sheets if sheet.exists()), sheets[0]))
