"""The settings of a sweep: a table, each row of which changes some keys of the configuration."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.pool.file_names import TAKEN
from virnucpro_kernels.run.config import Config, complete_config, hint, read_yaml, schema
from virnucpro_kernels.run.sheet import read_lines
from virnucpro_kernels.score.thresholds import Thresholds

#: Keys that a setting may change: those that decide a path below `work/`, or the last step alone.
KEYS = ("model", "layout", "min_segment", "precision", "preset", *Thresholds.__dataclass_fields__)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Setting:
    """A setting of a sweep.

    Attributes:
        name: Name, which stands in paths.
        config: Complete configuration.
        where: File and line, for messages.
    """

    name: str
    config: Config
    where: str


def read_sweep(path: Path, config: Mapping[str, Any]) -> list[Setting]:
    """Return the settings in a table, in its order; an empty cell leaves what `config` says.

    Args:
        path: Table with a column `setting` and columns named as keys of the configuration, see `KEYS`.
        config: Keys of the configuration that all settings share, as its file has them, without defaults.

    Raises:
        UsageError: the table has problems, such as unknown columns, wrong values and repeated names; all are listed.
    """
    _, lines = read_lines(path, "table of settings")
    if len(lines) < 2:
        raise UsageError(f"{path}: no settings; it needs a header with the column setting, and a line for each setting")
    (number, header), *rows = lines
    problems = [f"{path}, line {number}: {problem}" for problem in _header_problems(header)]
    if problems:
        raise UsageError("\n".join(problems))
    settings: list[Setting] = []
    names: list[str] = []
    for number, values in rows:
        where = f"{path}, line {number}"
        row = {name: value for name, value in zip(header, values, strict=False) if value}
        name = row.pop("setting", "")
        found = _name_problems(name, names)
        names.append(name)
        if any(values[len(header) :]):
            found.append(f"{len(values)} values for {len(header)} columns")
        problems += [f"{where}: {problem}" for problem in found]
        try:
            own = {key: _parse(key, value, path.parent, where) for key, value in row.items()}
            settings.append(Setting(name, complete_config({**config, **own}, where), where))
        except UsageError as error:
            problems += str(error).splitlines()
    if problems:
        # The advice where to read on, which each row has, comes once and last.
        raise UsageError("\n".join(sorted(dict.fromkeys(problems), key=lambda line: not line.startswith(str(path)))))
    return settings


def _header_problems(header: Sequence[str]) -> list[str]:
    """Return what is wrong with the first line of a table."""
    problems = [] if "setting" in header else ["no column 'setting', which names each setting"]
    problems += [f"column {name!r} occurs twice" for name in dict.fromkeys(header) if header.count(name) > 1]
    for name in header:
        if name == "window_length":
            problems.append("column 'window_length': the window length belongs to the model; use the column 'model'")
        elif name in schema("config")["properties"] and name not in KEYS:
            problems.append(f"column {name!r}: this key is the same for all settings; set it in the configuration")
        elif name not in ("setting", *KEYS):
            problems.append(f"unknown column {name!r}; {hint(name, ('setting', *KEYS))}")
    return problems


def _name_problems(name: str, earlier: Sequence[str]) -> list[str]:
    """Return what is wrong with the name of a setting."""
    if not _NAME.fullmatch(name):
        return [f"setting: {name!r} is not a name of letters, digits, dot, underscore and hyphen"]
    if name in TAKEN:
        return [f"setting: {name!r} is the name of a file beside the folders of the settings; choose another"]
    return [f"setting: {name!r} occurs twice"] if name in earlier else []


def _parse(key: str, value: str, folder: Path, where: str) -> Any:
    """Return the value of a cell: numbers and lists as YAML; the path of a model is relative to the table.

    Raises:
        UsageError: the value is no YAML.
    """
    if key == "model" and (folder / value / "model.toml").is_file():
        return str((folder / value).absolute())
    if schema("config")["properties"][key].get("type") not in ("number", "integer", "array"):
        return value
    try:
        return read_yaml(value)
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise UsageError(f"{where}: {key}: {value!r} cannot be read as YAML: {problem}") from error
