"""The run that a training is: its configuration, and the drawn windows as its sample."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from virnucpro_kernels.embed.gpu import count_gpus
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import expand_user
from virnucpro_kernels.models.precisions import choose_device, choose_precision
from virnucpro_kernels.pool.file_names import WORK
from virnucpro_kernels.run.config import Config, complete_config, problems_with, schema
from virnucpro_kernels.run.installation import page_of_keys
from virnucpro_kernels.run.run import Run
from virnucpro_kernels.run.samples import Sample
from virnucpro_kernels.train.drawn import WINDOW_FASTA
from virnucpro_kernels.weights.registry import find_model

#: Folder of the drawn windows, and that of the trained models.
DRAWN, MODELS = WORK / "training", Path("models")
#: Name of the sample, and of its pool.
POOL = "windows"


def complete_training(config: Mapping[str, Any], where: str = "configuration") -> Config:
    """Return the configuration of a training with the defaults of the keys that it does not set.

    Raises:
        UsageError: keys are unknown, missing or wrong. The message lists all of them and names `where` they stand.
    """
    own, of_a_run = schema("training"), schema("config")["properties"]
    rules = {**own, "properties": {**own["properties"], **{key: of_a_run[key] for key in own["shared"]}}}
    if problems := problems_with(config, rules):
        lines = [f"{where}: {problem}" for problem in problems]
        raise UsageError("\n".join([*lines, f"see {page_of_keys()} for all keys"]))
    return {key: config.get(key, rule.get("default")) for key, rule in rules["properties"].items()}


def load_training(config: Mapping[str, Any], *, on_cluster: bool) -> Run:
    """Return the run of a training: its one sample is the windows that `draw` writes.

    Args:
        config: Configuration of the training.
        on_cluster: Whether jobs run elsewhere, so that the GPUs of this machine say nothing.

    Raises:
        UsageError: the configuration or the name of the base is wrong.
        DamagedFileError: the base is damaged.
    """
    training = complete_training(config)
    base = find_model(training["base"], expand_user(training["models_dir"]) if training["models_dir"] else None)
    model = replace(
        base,
        window_length=training["window_length"] or base.window_length,
        layout=training["layout"] or base.layout,
    )
    # The features stay, so that another recipe or seed needs no GPU.
    of_a_run = complete_config({"keep": ["features"], **{key: training[key] for key in schema("training")["shared"]}})
    windows = Sample(POOL, DRAWN / WINDOW_FASTA, pool=POOL)
    device = choose_device(of_a_run["device"], gpu_available=on_cluster or bool(count_gpus()))
    precision = choose_precision(of_a_run["precision"], device)
    return Run(of_a_run, (windows,), (), model, device, precision, training=training)
