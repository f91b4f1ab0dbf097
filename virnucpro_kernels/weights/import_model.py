"""Import of a model from local copies of published files, each of which is checked before it is used."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.weights.checkpoints.classifier import read_classifier
from virnucpro_kernels.weights.checkpoints.dnabert import read_dnabert
from virnucpro_kernels.weights.checkpoints.esm2 import read_esm2
from virnucpro_kernels.weights.checkpoints.tensors import missing_files, weight_files
from virnucpro_kernels.weights.directory import (
    NewClassifier,
    NewEncoder,
    Origin,
    PresentEncoder,
    write_model_directory,
)
from virnucpro_kernels.weights.published import PublishedFile, digests, joint_sha256, recognise
from virnucpro_kernels.weights.registry import BUILTIN_DIRECTORY, Description, Model, complete_models

_NAME = re.compile(r"(?!builtin-)[A-Za-z0-9][A-Za-z0-9._-]*")
_ESM2_NAMES = {320: "esm2-8m", 480: "esm2-35m", 640: "esm2-150m", 1280: "esm2-650m", 2560: "esm2-3b", 5120: "esm2-15b"}


@dataclass(frozen=True)
class _Original:
    """Files of an encoder or the classifier, and the published file of which they are a true copy, if it is known."""

    path: Path
    sha256: str
    published: PublishedFile | None

    @property
    def origin(self) -> Origin:
        return Origin(self.published.what if self.published else self.path.name, self.sha256)

    @property
    def licence(self) -> str:
        return self.published.licence if self.published else "as its source says"

    @property
    def verdict(self) -> str:
        return f"a true copy of {self.published.what}" if self.published else "not a published file known here"


def import_model(
    name: str, window_length: int, *, protein: Path, nucleotide: Path, classifier: Path, models_dir: Path
) -> Model:
    """Make `models_dir`/`name` from original files.

    Args:
        name: Name of the new model; letters, digits, `.`, `_` and `-`.
        window_length: Length in bp of the windows that the classifier was trained on.
        protein: ESM-2 as fair-esm's `.pt`, as a directory in Hugging Face format, or `protein.safetensors` of a model.
        nucleotide: Directory of DNABERT-S or DNABERT-2 with `tokenizer.json`, or `nucleotide.safetensors` of a model.
        classifier: File of the classifier, as `500_model.pth`.
        models_dir: Folder of the models.

    Raises:
        UsageError: a file is missing, the name is taken, or encoders and classifier do not belong together.
        DamagedFileError: a file is damaged, unsafe or of another kind.
    """
    _check_name(name, models_dir)
    if missing := list(_missing(protein, nucleotide, classifier)):
        raise UsageError(
            "\n".join([*missing, "nothing was imported; `virnucpro weights import --help` says what each option takes"])
        )
    originals = {
        "classifier": _original(classifier, [classifier]),
        "nucleotide": _original(nucleotide, _files_of_encoder(nucleotide)),
        "protein": _original(protein, _files_of_encoder(protein)),
    }
    known = originals["classifier"].published
    if known and known.window_length != window_length:
        raise UsageError(f"{classifier} is the {known.what}; import it with --window-length {known.window_length}")
    tokenizer = _beside(nucleotide) / "tokenizer.json"
    config, tensors = read_classifier(classifier)
    return write_model_directory(
        models_dir / name,
        _describe(name, window_length, originals),
        nucleotide=_encoder(originals["nucleotide"], "dnabert", read_dnabert, models_dir),
        tokenizer=tokenizer,
        tokenizer_origin=_original(tokenizer, [tokenizer]).origin,
        protein=_encoder(originals["protein"], "esm2", read_esm2, models_dir),
        classifier=NewClassifier(config, tensors, originals["classifier"].origin),
    )


def _check_name(name: str, models_dir: Path) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"model name {name!r} is not allowed: a name has letters, digits, '.', '_' and '-' only, and does not begin"
            " with builtin-"
        )
    if (BUILTIN_DIRECTORY / name).exists():
        raise UsageError(f"model {name} comes with the package; choose another name")
    if (models_dir / name).exists():
        raise UsageError(f"model {name} is in {models_dir} already; choose another name")


def _missing(protein: Path, nucleotide: Path, classifier: Path) -> Iterator[str]:
    """Yield a sentence for each of the paths that is not there, or is not all there."""
    if not classifier.is_file():
        yield f"there is no file {classifier} (--classifier)"
    for option, path in (("--nucleotide", nucleotide), ("--protein", protein)):
        files = missing_files(path) if path.is_dir() else []
        if option == "--nucleotide" and path.exists() and not (_beside(path) / "tokenizer.json").is_file():
            files.append("tokenizer.json")
        if not path.exists():
            yield f"there is no file or directory {path} ({option})"
        elif option == "--nucleotide" and path.is_file() and path.suffix != ".safetensors":
            yield f"{path} is a file, and {option} takes the directory that holds it, with all files of the download"
        elif files:
            yield f"the directory {_beside(path)} ({option}) lacks {' and '.join(files)}"


def _beside(nucleotide: Path) -> Path:
    """Return the directory of the nucleotide encoder, in which its tokenizer lies."""
    return nucleotide if nucleotide.is_dir() else nucleotide.parent


def _describe(name: str, window_length: int, originals: Mapping[str, _Original]) -> Description:
    return Description(
        name=name,
        window_length=window_length,
        layout="original",
        purpose="work",
        source="; ".join(f"{part}: {original.origin.source}" for part, original in originals.items()),
        licence="; ".join(f"{part}: {original.licence}" for part, original in originals.items()),
        notes="; ".join(f"{part}: {original.verdict}" for part, original in originals.items()),
    )


def _files_of_encoder(path: Path) -> list[Path]:
    """All files that decide the tensors, a directory's configuration among them."""
    return [*weight_files(path), *([path / "config.json"] if (path / "config.json").is_file() else [])]


def _original(path: Path, files: list[Path]) -> _Original:
    found = {file.name: digests(file) for file in files}
    published = [recognise(*both) for both in found.values()]
    joint = joint_sha256({name: sha256 for name, (sha256, _) in found.items()})
    return _Original(path, joint, published[0] if all(published) else None)


def _encoder(
    original: _Original, architecture: str, read: Callable[[Path], tuple[Any, Any]], models_dir: Path
) -> NewEncoder | PresentEncoder:
    present = find_encoder(original.sha256, architecture, models_dir)
    if present is None and original.path.suffix == ".safetensors":
        raise UsageError(
            f"{original.path} is not the encoder of a complete model in {models_dir}; give the files that its publisher"
            " made"
        )
    if present is not None:
        return present
    config, tensors = read(original.path)
    if original.published:
        name = original.published.encoder
    elif architecture == "esm2":
        name = _ESM2_NAMES.get(config.hidden, f"esm2-{config.layers}x{config.hidden}")
    else:
        name = f"dnabert-{config.layers}x{config.hidden}"
    return NewEncoder(name, config, tensors, original.origin)


def find_encoder(source_sha256: str, architecture: str, models_dir: Path) -> PresentEncoder | None:
    """Return the encoder of a model in `models_dir` whose file, or whose source, has this checksum."""
    for model in complete_models(models_dir):
        for info in (model.nucleotide, model.protein):
            if info.architecture == architecture and source_sha256 in {info.source_sha256, info.sha256}:
                return PresentEncoder(model, info)
    return None
