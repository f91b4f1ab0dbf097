"""Writing of a model directory from tensors: it appears when it is complete."""

import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from virnucpro_kernels.errors import DamagedFileError, UsageError, VirnucproError
from virnucpro_kernels.files import atomic_path, sha256
from virnucpro_kernels.models.classifier import Classifier, ClassifierConfig
from virnucpro_kernels.models.dnabert_s import DnabertConfig, DnabertS
from virnucpro_kernels.models.esm2 import Esm2, Esm2Config
from virnucpro_kernels.models.tokenizers import DnaTokenizer
from virnucpro_kernels.weights.load import check_file, note_checked
from virnucpro_kernels.weights.registry import ClassifierInfo, Description, EncoderInfo, FileInfo, Model, write_model

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Origin:
    """Origin of a file's content: in words, and the checksum of its source, empty where there is none."""

    source: str
    source_sha256: str = ""


@dataclass(frozen=True)
class NewEncoder:
    """An encoder to be written: its name, sizes, tensors as its model names them, and their origin."""

    name: str
    config: Esm2Config | DnabertConfig
    tensors: dict[str, torch.Tensor]
    origin: Origin


@dataclass(frozen=True)
class PresentEncoder:
    """An encoder that another model directory has: its file is linked, so that 6 GB are not stored twice."""

    model: Model
    info: EncoderInfo

    @property
    def path(self) -> Path:
        """Its file."""
        return self.model.path(self.info)


@dataclass(frozen=True)
class NewClassifier:
    """A classifier to be written: its sizes, tensors and their origin."""

    config: ClassifierConfig
    tensors: dict[str, torch.Tensor]
    origin: Origin


def tensors_of(module: nn.Module, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Tensors of a module in memory for a file: parameters stored as `dtype`, buffers as they are."""
    parameters = dict(module.named_parameters())
    return {
        name: tensor.detach().to(dtype) if name in parameters else tensor
        for name, tensor in module.state_dict().items()
    }


def write_model_directory(
    directory: Path,
    description: Description,
    nucleotide: NewEncoder | PresentEncoder,
    tokenizer: Path,
    tokenizer_origin: Origin,
    protein: NewEncoder | PresentEncoder,
    classifier: NewClassifier,
    *,
    more: Mapping[str, str] | None = None,
) -> Model:
    """Write the files and `model.toml` into a hidden directory beside `directory`, and rename that at the end.

    Args:
        directory: Directory to make.
        description: The model as a whole.
        nucleotide, tokenizer, tokenizer_origin, protein, classifier: Its parts.
        more: Texts of further files by name, for people.

    Raises:
        UsageError: `directory` exists already, or encoders, tokenizer and classifier do not belong together.
        DamagedFileError: tensors are missing, too many, of a wrong shape or not finite.
        VirnucproError: the folder of the models cannot be written.
    """
    if directory.exists():
        raise UsageError(f"{directory} is there already; choose another name")
    _check_widths(nucleotide, protein, classifier)
    staging = directory.with_name(f".{directory.name}.unfinished")
    try:
        if staging.exists():  # an import that was killed left it
            shutil.rmtree(staging)
        staging.mkdir(parents=True)
    except OSError as error:
        raise unwritable(staging, error) from error
    nucleotide_info = _place_encoder(staging / "nucleotide.safetensors", nucleotide)
    shutil.copyfile(tokenizer, staging / "tokenizer.json")
    if DnaTokenizer(staging / "tokenizer.json").vocabulary_size > nucleotide_info.vocabulary:
        raise UsageError(f"{tokenizer}: more tokens than the nucleotide encoder knows; they do not belong together")
    model = Model(
        **asdict(description),
        directory=staging,
        nucleotide=nucleotide_info,
        tokenizer=FileInfo(**_facts(staging / "tokenizer.json", tokenizer_origin)),
        protein=_place_encoder(staging / "protein.safetensors", protein),
        classifier=ClassifierInfo(**_write_weights(staging / "classifier.safetensors", classifier)),
    )
    for name, text in (more or {}).items():
        (staging / name).write_text(text, encoding="utf-8")
    write_model(model)
    for info in model.files:
        note_checked(model.path(info), info)
    staging.rename(directory)
    return replace(model, directory=directory)


def unwritable(path: Path, error: OSError) -> VirnucproError:
    """Return the error for a path among the models that cannot be written."""
    return VirnucproError(
        f"{path} cannot be written ({error.strerror}); ask the owner of that folder, or choose another one with"
        " --models-dir"
    )


def _check_widths(
    nucleotide: NewEncoder | PresentEncoder, protein: NewEncoder | PresentEncoder, classifier: NewClassifier
) -> None:
    widths = [x.info.hidden if isinstance(x, PresentEncoder) else x.config.hidden for x in (nucleotide, protein)]
    if sum(widths) != classifier.config.dimension:
        raise UsageError(
            f"the classifier takes {classifier.config.dimension} features, but the nucleotide encoder gives {widths[0]}"
            f" and the protein encoder {widths[1]}; they do not belong together"
        )


def _place_encoder(path: Path, encoder: NewEncoder | PresentEncoder) -> EncoderInfo:
    if isinstance(encoder, NewEncoder):
        architecture = "esm2" if isinstance(encoder.config, Esm2Config) else "dnabert"
        return EncoderInfo(**_write_weights(path, encoder), name=encoder.name, architecture=architecture)
    present = check_file(encoder.model, encoder.info)
    try:
        os.link(present, path)
        note_checked(present, encoder.info)  # a link changes the time of the inode
    except OSError as error:  # another file system, or one without links
        _log.info("copying %s, because it cannot be linked (%s)", present, error)
        shutil.copyfile(present, path)
    return replace(encoder.info, file=path.name)


def _write_weights(path: Path, new: NewEncoder | NewClassifier) -> dict[str, Any]:
    """Write the tensors; return facts of the file and sizes of the network, for `model.toml`."""
    _check_tensors(new)
    # One key only: safetensors writes several in no fixed order, and the same model shall be the same bytes.
    metadata = {"virnucpro": json.dumps(asdict(new.origin))}
    with atomic_path(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in new.tensors.items()}, temporary, metadata)
        temporary.chmod(0o644)  # safetensors makes it the owner's alone
    return _facts(path, new.origin) | asdict(new.config)


def _facts(path: Path, origin: Origin) -> dict[str, Any]:
    return {"file": path.name, "sha256": sha256(path), "bytes": path.stat().st_size, **asdict(origin)}


def _check_tensors(new: NewEncoder | NewClassifier) -> None:
    where = new.origin.source
    with torch.device("meta"):
        wanted = {name: tensor.shape for name, tensor in _build(new.config).state_dict().items()}
    if wanted.keys() != new.tensors.keys():
        odd = sorted(wanted.keys() ^ new.tensors.keys())
        raise DamagedFileError(f"{where}: tensors missing or too many: {odd[:3]}")
    for name, tensor in new.tensors.items():
        if tensor.shape != wanted[name]:
            raise DamagedFileError(f"{where}: {name} is {tuple(tensor.shape)} instead of {tuple(wanted[name])}")
        if not torch.isfinite(tensor).all():
            raise DamagedFileError(f"{where}: {name} holds numbers that are not finite; get the file again")


def _build(config: Esm2Config | DnabertConfig | ClassifierConfig) -> nn.Module:
    if isinstance(config, Esm2Config):
        return Esm2(config)
    return DnabertS(config) if isinstance(config, DnabertConfig) else Classifier(config)
