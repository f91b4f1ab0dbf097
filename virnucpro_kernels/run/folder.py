"""Configuration and sample sheet of a run's folder: worked out from options, written when they are known to be good."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import sha256
from virnucpro_kernels.run.config import Config, complete_config, read_config, write_config
from virnucpro_kernels.run.samples import Sample, name_samples, read_sheet, write_sheet
from virnucpro_kernels.sequences.streams import needs_spooling, spool

CONFIG = Path("config", "config.yaml")
SHEET = Path("config", "samples.tsv")
_PATH_KEYS = ("samples", "input", "models_dir")


@dataclass(frozen=True)
class Plan:
    """What a run's folder is to hold.

    Attributes:
        directory: the folder.
        config: the keys of the configuration.
        samples: those of the sheet; None to keep the sheet that is there.
    """

    directory: Path
    config: Config
    samples: Sequence[Sample] | None

    def write(self) -> None:
        """Write the configuration and the sheet, where they differ from those there."""
        path = self.directory / CONFIG
        if not path.exists() or read_config(path) != self.config:
            write_config(path, self.config)
        if self.samples is not None:
            write_sheet(self.directory / SHEET, self.samples)

    @contextmanager
    def written_for_now(self) -> Iterator[None]:
        """Write them, and give both files their present content back at the end; those not there yet go."""
        paths = (self.directory / CONFIG, self.directory / SHEET)
        contents = {path: path.read_bytes() if path.exists() else None for path in paths}
        try:
            self.write()
            yield
        finally:
            for path, content in contents.items():
                if content is None:
                    path.unlink(missing_ok=True)
                elif path.read_bytes() != content:
                    path.write_bytes(content)


def read_settings(assignments: Sequence[str]) -> Config:
    """Read `KEY=VALUE` options, the value as YAML.

    Raises:
        UsageError: no `=`, or the value is no YAML.
    """
    settings: Config = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise UsageError(f"--set {assignment}: must be KEY=VALUE")
        try:
            settings[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(f"--set {assignment}: {error}") from error
    return settings


def plan_run(
    directory: Path, inputs: Sequence[Path], sheet: Path | None, config: Path | None, settings: Mapping[str, Any]
) -> Plan:
    """Work out the configuration and the samples of a run; without inputs, its folder's samples stay.

    Raises:
        UsageError: there are no inputs, or not all of them exist, or the configuration is wrong.
    """
    here = directory / CONFIG
    if config is not None:
        base = _anchored(read_config(config))
    else:
        base = read_config(here) if here.exists() and not inputs and sheet is None else {}
    merged: Config = {**base, **_anchored(dict(settings))}
    kept = {key: value for key, value in merged.items() if key not in {"input", "samples"}}
    complete_config(kept, str(config) if config else "options")
    return Plan(directory, {"samples": str(SHEET), **kept}, _samples(directory, inputs, sheet, merged))


def _samples(directory: Path, inputs: Sequence[Path], sheet: Path | None, config: Config) -> list[Sample] | None:
    """The samples of a run; None to keep those that its folder names."""
    if inputs and sheet is not None:
        raise UsageError("give sequence files or a sample sheet (--samples), not both")
    if sheet is not None:
        return read_sheet(sheet)
    if inputs:
        return name_samples([_spooled(path, directory) if needs_spooling(path) else path for path in inputs])
    if config.get("input"):
        return name_samples([Path(config["input"])])
    if config.get("samples") and config["samples"] != str(SHEET):
        return read_sheet(Path(config["samples"]))
    if not (directory / SHEET).exists():
        raise UsageError("no input: name sequence files (`-` is standard input), or a sample sheet with --samples")
    return None


def _spooled(path: Path, directory: Path) -> Path:
    """Copy what can be read only once into the run's folder; the same content again leaves the earlier copy alone."""
    name = "stdin" if str(path) == "-" else f"pipe-{path.name}"
    copy = directory.absolute() / "work" / "stdin" / name
    arriving = copy.with_name(f".{name}.new")
    spool(path, arriving)
    if copy.exists() and sha256(copy) == sha256(arriving):
        arriving.unlink()
    else:
        arriving.replace(copy)
    return copy


def _anchored(config: Config) -> Config:
    """A configuration whose paths mean the same in any working directory."""
    anchored = dict(config)
    for key in _PATH_KEYS:
        if isinstance(config.get(key), str):
            anchored[key] = os.path.normpath(Path.cwd() / Path(config[key]).expanduser())
    model = config.get("model")
    if isinstance(model, str) and (Path(model) / "model.toml").is_file():
        anchored["model"] = os.path.normpath(Path.cwd() / model)
    return anchored
