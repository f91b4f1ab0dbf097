"""Configuration and sample sheet in the folder of a run: derived from the options, written after all checks."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import expand_user, sha256
from virnucpro_kernels.pool.file_names import WORK
from virnucpro_kernels.run.config import Config, complete_config, read_config, read_yaml, write_config
from virnucpro_kernels.run.samples import Sample, misread, name_samples, read_sheet, write_sheet
from virnucpro_kernels.sequences.streams import needs_spooling, spool
from virnucpro_kernels.weights.registry import find_directory

CONFIG = Path("config", "config.yaml")
SHEET = Path("config", "samples.tsv")
_PATH_KEYS = ("samples", "input", "models_dir", "sweep")


@dataclass(frozen=True)
class FolderPlan:
    """Planned content of the folder of a run.

    Attributes:
        directory: Folder of the run.
        config: Keys that its configuration file sets.
        samples: Samples of the run.
        keeps_sheet: Whether the sample sheet that is there stays as it is.
        links: Links in the run's folder by input; each stands for an input whose path Snakemake would misread.
    """

    directory: Path
    config: Config
    samples: Sequence[Sample]
    keeps_sheet: bool
    links: Mapping[Path, Path]

    def write(self) -> None:
        """Write the configuration and the sheet where they differ from the files in the folder; make the links."""
        samples = [sample.replace_inputs(self.links) for sample in self.samples]
        for path, link in self.links.items():
            _make_link(link, path.absolute())
        path = self.directory / CONFIG
        if not _holds(path, self.config):
            write_config(path, self.config)
        if not self.keeps_sheet:
            write_sheet(self.directory / SHEET, samples)

    @contextmanager
    def written_for_now(self) -> Iterator[None]:
        """Write both files for the time of the block, and restore what was there before."""
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
        UsageError: an option has no `=`, or its value is not YAML.
    """
    settings: Config = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise UsageError(f"--set {assignment}: must be KEY=VALUE")
        try:
            settings[key] = read_yaml(value)
        except yaml.YAMLError as error:
            raise UsageError(f"--set {assignment}: {error}") from error
    return settings


def merge_settings(assignments: Sequence[str], options: Mapping[str, Any]) -> Config:
    """Return the keys that `KEY=VALUE` assignments and options of their own set; those options win.

    Raises:
        UsageError: an assignment has no `=`, or its value is no YAML.
    """
    given = {
        key: str(value) if isinstance(value, Path) else value
        for key, value in options.items()
        if value not in (None, [])
    }
    return read_settings(assignments) | given


def plan_folder(
    directory: Path, inputs: Sequence[Path], sheet: Path | None, config: Path | None, settings: Mapping[str, Any]
) -> FolderPlan:
    """Derive configuration and samples of a run from the options. Without inputs, the samples of its folder stay.

    Raises:
        UsageError: no input is given, an input does not exist, or the configuration is wrong.
    """
    here = directory / CONFIG
    if config is not None:
        base = read_config(config)
        base = _anchored(base, base.get("models_dir"))
    else:
        base = read_config(here) if here.exists() and not inputs and sheet is None else {}
    merged: Config = {**base, **_anchored(dict(settings), {**base, **settings}.get("models_dir"))}
    complete_config(merged, str(config) if config else "options")
    samples = _new_samples(directory, inputs, sheet, merged)
    keeps_sheet = samples is None
    if samples is None:
        samples = read_sheet(directory / SHEET)
    ahead = {path: name for path, name in _inputs(samples) if _is_ahead(path)}
    if ahead:
        copies = {path: _copied(path, directory, name.replace("/", "-")) for path, name in ahead.items()}
        samples = [sample.replace_inputs(copies) for sample in samples]
        keeps_sheet = False
    kept = {"samples": str(SHEET)} | {key: value for key, value in merged.items() if key not in {"samples", "input"}}
    links = {} if keeps_sheet else _links(directory, samples)
    return FolderPlan(directory, kept, samples, keeps_sheet, links)


def _holds(path: Path, config: Config) -> bool:
    """Whether a file holds a configuration; one that cannot be read holds none."""
    try:
        return path.exists() and read_config(path) == config
    except UsageError:
        return False


def _make_link(link: Path, target: Path) -> None:
    if not link.is_symlink() or link.readlink() != target:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def _inputs(samples: Iterable[Sample]) -> Iterator[tuple[Path, str]]:
    """Yield every input with a name of its own: that of its sample, below `mates` for second files."""
    for sample in samples:
        yield sample.input, sample.name
        if sample.input2 is not None:
            yield sample.input2, f"mates/{sample.name}"


def _links(directory: Path, samples: Iterable[Sample]) -> dict[Path, Path]:
    """Return a link for each input whose path has braces, which Snakemake takes for wildcards, or odd blanks."""
    folder = directory.absolute() / WORK / "inputs"
    return {path: folder / name for path, name in _inputs(samples) if misread(str(path.absolute()))}


def _new_samples(directory: Path, inputs: Sequence[Path], sheet: Path | None, config: Config) -> list[Sample] | None:
    """Return the samples that inputs, sheet or configuration name, or None where the folder's own sheet applies."""
    if inputs and sheet is not None:
        raise UsageError("give sequence files or a sample sheet (--samples), not both")
    if sheet is not None:
        return read_sheet(sheet)
    if inputs:
        return name_samples([_found_again(path, directory) for path in inputs])
    if config.get("input"):
        return name_samples([Path(config["input"])])
    if config.get("samples") and config["samples"] != str(SHEET):
        return read_sheet(Path(config["samples"]))
    if not (directory / SHEET).exists():
        raise UsageError("no input: name sequence files (`-` is standard input), or a sample sheet with --samples")
    return None


def _found_again(path: Path, directory: Path) -> Path:
    """Return a path under which later starts and jobs find the input: a copy, where it can be read only once."""
    if not needs_spooling(path):
        return path
    return _copied(path, directory, "stdin" if str(path) == "-" else f"pipe-{path.name}")


def _is_ahead(path: Path) -> bool:
    """Whether a file, or a link to it, is dated in the future: Snakemake ends every job that has such an input."""
    return max(path.stat().st_mtime, path.lstat().st_mtime) > time.time()


def _copied(path: Path, directory: Path, name: str) -> Path:
    """Copy an input into the run's folder, where it stays if an earlier copy has the same content."""
    copy = directory.absolute() / WORK / "stdin" / name
    arriving = copy.with_name(f".{name}.new")
    spool(path, arriving)
    if copy.exists() and sha256(copy) == sha256(arriving):
        arriving.unlink()
    else:
        arriving.replace(copy)
    return copy


def _anchored(config: Config, models_dir: Any) -> Config:
    """Return `config` with absolute paths, so that it means the same in any working directory.

    A model that is imported into `models_dir` or comes with the package wins over a folder of its name.
    """
    anchored = dict(config)
    for key in _PATH_KEYS:
        if isinstance(config.get(key), str):
            anchored[key] = os.path.normpath(Path.cwd() / expand_user(config[key]))
    model = config.get("model")
    if isinstance(model, str) and (Path(model) / "model.toml").is_file():
        folder = expand_user(models_dir) if isinstance(models_dir, str) else None
        if find_directory(model, folder) == Path(model):
            anchored["model"] = os.path.normpath(Path.cwd() / model)
    return anchored
