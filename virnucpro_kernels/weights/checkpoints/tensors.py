"""The tensors of a published checkpoint and its configuration, in one file or in several."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from virnucpro_kernels.errors import DamagedFileError, UsageError
from virnucpro_kernels.weights.checkpoints.safe_pickle import read_checkpoint

Tensors = dict[str, torch.Tensor]


class Checkpoint:
    """The tensors of a checkpoint, each of which is taken once, so that none is overlooked."""

    def __init__(self, path: Path, tensors: Mapping[str, torch.Tensor], prefixes: tuple[str, ...]) -> None:
        self.path, self._tensors = path, {}
        for name, tensor in tensors.items():
            prefix = next((prefix for prefix in prefixes if name.startswith(prefix)), "")
            self._tensors[name.removeprefix(prefix)] = tensor

    def take(self, name: str) -> torch.Tensor:
        """Return the tensor `name`, which must be there (DamagedFileError)."""
        if name not in self._tensors:
            raise DamagedFileError(f"{self.path} lacks the tensor {name}: it is not of the expected architecture")
        return self._tensors.pop(name)

    def take_all(self, suffix: str) -> list[torch.Tensor]:
        """Return all tensors whose names end with `suffix`."""
        return [self.take(name) for name in list(self._tensors) if name.endswith(suffix)]

    def check_rest(self, not_needed: tuple[str, ...]) -> None:
        """Refuse tensors that were not taken, except those whose names start with one of `not_needed`."""
        rest = [name for name in self._tensors if not name.startswith(not_needed)]
        if rest:
            raise DamagedFileError(
                f"{self.path} has an unexpected tensor {rest[0]}: it is not of the expected architecture"
            )


def only_tensors(path: Path, tensors: Any) -> Tensors:
    """Return `tensors` as a dict, or raise DamagedFileError where it holds anything else."""
    items = tensors.items() if isinstance(tensors, Mapping) else [(None, None)]
    if not all(isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in items):
        raise DamagedFileError(
            f"{path} holds something else than tensors where the weights should be; get the file again"
        )
    return {name: tensor.detach() for name, tensor in tensors.items()}


#: Names of the weights in a directory in Hugging Face format; the first that is there counts, whole or in shards.
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def missing_files(directory: Path) -> list[str]:
    """Return in words the files that a directory in Hugging Face format lacks."""
    has_weights = any((directory / f"{stem}{end}").is_file() for stem in _WEIGHTS for end in ("", ".index.json"))
    missing = [] if has_weights else [" or ".join(_WEIGHTS)]
    return missing if (directory / "config.json").is_file() else [*missing, "config.json"]


def weight_files(path: Path) -> list[Path]:
    """Files that hold the weights at `path`: itself, or in a directory those of Hugging Face's names, all shards.

    Raises:
        UsageError: there is no such file.
        DamagedFileError: the list of shards is damaged, or a shard is missing.
    """
    if path.is_file():
        return [path]
    for stem in _WEIGHTS:
        if (path / stem).is_file():
            return [path / stem]
        index = path / f"{stem}.index.json"
        if index.is_file():
            return [path / shard for shard in _shards(index)]
    raise UsageError(f"{path} has no {' or '.join(_WEIGHTS)}; give the directory of the download")


def _shards(index: Path) -> list[str]:
    listed = _read_json(index).get("weight_map")
    shards = sorted(set(listed.values())) if isinstance(listed, dict) else []
    if not shards or not all(isinstance(shard, str) and Path(shard).name == shard for shard in shards):
        raise DamagedFileError(f"{index} does not list the files of the weights; download it again")
    missing = [shard for shard in shards if not (index.parent / shard).is_file()]
    if missing:
        raise DamagedFileError(f"{index} lists files that are not beside it: {', '.join(missing)}; download them too")
    return shards


def read_hugging_face(directory: Path) -> tuple[dict[str, Any], Tensors]:
    """Return `config.json` and all tensors of a directory in Hugging Face format, memory-mapped."""
    tensors: Tensors = {}
    for file in weight_files(directory):
        if file.suffix == ".safetensors":
            tensors |= read_safetensors(file)[1]
        else:
            tensors |= only_tensors(file, read_checkpoint(file))
    return _read_json(directory / "config.json"), {_usual(name): tensor for name, tensor in tensors.items()}


def _usual(name: str) -> str:
    """Some versions of transformers call a LayerNorm's weight and bias gamma and beta in files."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def read_safetensors(path: Path) -> tuple[dict[str, str], Tensors]:
    """Return metadata and tensors of a safetensors file, memory-mapped, on the CPU.

    Raises:
        DamagedFileError: the file is damaged, or is not a safetensors file.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DamagedFileError(f"{path} is not a whole safetensors file ({error}); get it again") from error


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UsageError(f"there is no file {path}; give the directory of the download, with all of its files")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DamagedFileError(f"{path} cannot be read as JSON ({error}); download it again") from error
    if not isinstance(content, dict):
        raise DamagedFileError(f"{path} does not hold a configuration; download it again")
    return content


def size(path: Path, options: Mapping[str, Any], name: str) -> int:
    """Return option `name`, which must be a positive number (DamagedFileError)."""
    value = options.get(name)
    if not isinstance(value, int) or value < 1:
        raise DamagedFileError(f"{path}: {name} is {value!r} in its configuration, not a positive number")
    return value


def expect(path: Path, options: Mapping[str, Any], **wanted: Any) -> None:
    """Refuse an option with another value than `wanted`; a missing option has its usual value."""
    for name, value in wanted.items():
        if options.get(name, value) not in (value, None):
            raise DamagedFileError(f"{path}: {name} is {options[name]!r}, and only {value!r} is known here")
