"""The configuration of a run: read, checked against its schema, completed with defaults, written."""

import difflib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import atomic_path
from virnucpro_kernels.run.installation import page_of_keys, workflow_root
from virnucpro_kernels.score.thresholds import Thresholds

Config = dict[str, Any]

#: Numbers that YAML 1.1 takes for text, since they have an exponent and no point or no sign.
_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


class _Loader(yaml.SafeLoader):
    """Reader of YAML in which `01000` is a thousand; in YAML 1.1 it is 512."""


def _decimal(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    try:
        return int(text)
    except ValueError:
        message = f"{text} is not a decimal number"
        raise yaml.constructor.ConstructorError(None, None, message, node.start_mark) from None


_LOADER_INT = "tag:yaml.org,2002:int"
_Loader.add_constructor(_LOADER_INT, _decimal)
_Loader.add_implicit_resolver(_LOADER_INT, re.compile(r"[-+]?\d+\Z"), list("-+0123456789"))


def read_yaml(text: str) -> Any:
    """Return the content of YAML text; integers are decimal.

    Raises:
        yaml.YAMLError: the text is not YAML.
    """
    return yaml.load(text, _Loader)


@cache
def schema(name: str) -> Mapping[str, Any]:
    """Return the schema `workflow/schemas/{name}.schema.yaml`."""
    path = workflow_root() / "workflow" / "schemas" / f"{name}.schema.yaml"
    loaded: Mapping[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def default(key: str) -> Any:
    """Return the default of a key of the configuration."""
    return schema("config")["properties"][key]["default"]


def read_config(path: Path) -> Config:
    """Return the keys that a configuration file sets, unchecked.

    Raises:
        UsageError: the file does not exist, cannot be read, or does not hold a YAML mapping.
    """
    try:
        loaded = read_yaml(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such configuration file; `virnucpro init` writes one") from None
    except OSError as error:
        raise UsageError(f"{path}: the configuration cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:  # of bytes that are no text, and of impossible dates
        raise UsageError(f"{path}: the file cannot be read as YAML: {error}") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise UsageError(f"{path}: the file must hold `key: value` lines, not {type(loaded).__name__}")
    return loaded


def complete_config(config: Mapping[str, Any], where: str = "configuration") -> Config:
    """Return `config` with the values of its preset, or else the defaults, for the keys that it does not set.

    Raises:
        UsageError: keys are unknown or values are wrong. The message lists all of them and names `where` they stand.
    """
    rules = schema("config")
    config = {key: _as_declared(value, rules["properties"].get(key, {})) for key, value in config.items()}
    problems = problems_with(config, rules)
    if problems:
        raise UsageError(
            "\n".join(f"{where}: {problem}" for problem in problems) + f"\nsee {page_of_keys()} for all keys"
        )
    preset = rules["presets"][config.get("preset", default("preset"))]
    complete = {key: config.get(key, preset.get(key, default(key))) for key in rules["properties"]}
    try:
        Thresholds(**{name: complete[name] for name in Thresholds.__dataclass_fields__})
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
    return complete


def _as_declared(value: Any, rule: Mapping[str, Any]) -> Any:
    """Return a number that YAML took for text, as in `1e-3`, or an integer that it took for a float, as `1e+3`."""
    if isinstance(value, list):
        return [_as_declared(item, rule.get("items", {})) for item in value]
    number = float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value
    if rule.get("type") == "integer" and isinstance(number, float) and number.is_integer():
        return int(number)
    return number if rule.get("type") in ("integer", "number") else value


def problems_with(values: Mapping[str, Any], rules: Mapping[str, Any]) -> list[str]:
    """Return a sentence for everything in `values` that breaks the schema `rules`."""
    known = list(rules["properties"])
    found = []
    for error in sorted(jsonschema.Draft202012Validator(rules).iter_errors(values), key=lambda error: list(error.path)):
        if error.validator in {"additionalProperties", "required"}:
            continue
        key = ".".join(map(str, error.path))
        # Regular expressions are hard to read, so the schema states in words, beside the pattern, what is allowed.
        message = error.message
        if error.validator == "pattern":
            message = f"{error.instance!r} is not allowed; choose {error.schema['allowed']}"
        found.append(f"{key}: {message}" if key else message)
    found += [f"no {key!r}" for key in rules.get("required", ()) if key not in values]
    found += [f"unknown key {str(key)!r}; {hint(str(key), known)}" for key in values if key not in known]
    return found


def hint(name: str, known: Sequence[str]) -> str:
    """Return advice on a name that is not among `known`: the nearest of them, or all of them."""
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(known)}"


def write_config(path: Path, config: Mapping[str, Any]) -> None:
    """Write the keys of `config` as YAML."""
    with atomic_path(path) as temporary:
        temporary.write_text(yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True), encoding="utf-8")
