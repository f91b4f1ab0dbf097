"""From a model directory to models in memory: the files checked, then mapped straight to device and type."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from virnucpro_kernels.errors import DamagedFileError, FaultyDeviceError
from virnucpro_kernels.files import atomic_path, sha256
from virnucpro_kernels.models.classifier import Classifier, ClassifierConfig
from virnucpro_kernels.models.precisions import name_device
from virnucpro_kernels.models.tokenizers import DnaTokenizer
from virnucpro_kernels.weights.evidence import check_canaries
from virnucpro_kernels.weights.registry import (
    EncoderInfo,
    FileInfo,
    Model,
    find_directory,
    model_directories,
    read_model,
)

if TYPE_CHECKING:  # they load Triton, which takes time, and a job with the classifier alone has no use for it
    from virnucpro_kernels.models.dnabert_s import DnabertS
    from virnucpro_kernels.models.esm2 import Esm2

_log = logging.getLogger(__name__)
_Module = TypeVar("_Module", bound=nn.Module)

#: Larger files are not hashed at every start but once for each size and pair of times: 6 GB take several seconds.
_ALWAYS_HASHED_BYTES = 64 << 20


def load_protein_encoder(
    model: Model,
    device: torch.device | str,
    dtype: torch.dtype,
    *,
    products: torch.dtype | None = None,
    attention: str = "auto",
) -> "Esm2":
    """Load the protein encoder, for inference.

    Args:
        model: Model, as `registry.find_model` returns it.
        device: Device to load the weights to.
        dtype: Type of weights and activations; rotary tables and summed biases stay fp32.
        products: Type of the weights of matrix products, where it is another one.
        attention: Backend, see `ops.dispatch`.

    Raises:
        DamagedFileError: the file is not the one that `model.toml` describes.
        FaultyDeviceError: the weights on the device are not those of the file.
    """
    from virnucpro_kernels.models.esm2 import Esm2, Esm2Config

    def make() -> Esm2:
        return Esm2(Esm2Config(**_encoder_sizes(model, model.protein, "esm2")), attention=attention)

    return _load(model, model.protein, make, device, dtype, products)


def load_nucleotide_encoder(
    model: Model,
    device: torch.device | str,
    dtype: torch.dtype,
    *,
    products: torch.dtype | None = None,
    attention: str = "auto",
) -> "DnabertS":
    """Load the nucleotide encoder; arguments and errors as for `load_protein_encoder`."""
    from virnucpro_kernels.models.dnabert_s import DnabertConfig, DnabertS

    def make() -> DnabertS:
        return DnabertS(DnabertConfig(**_encoder_sizes(model, model.nucleotide, "dnabert")), attention=attention)

    return _load(model, model.nucleotide, make, device, dtype, products)


def load_classifier(model: Model, device: torch.device | str = "cpu") -> Classifier:
    """Load the classifier, fp32; errors as for `load_protein_encoder`."""
    config = ClassifierConfig(model.classifier.dimension, model.classifier.hidden)
    return _load(model, model.classifier, lambda: Classifier(config), device, torch.float32)


def load_dna_tokenizer(model: Model) -> DnaTokenizer:
    """Load the tokenizer of the nucleotide encoder; errors as for `load_protein_encoder`."""
    return DnaTokenizer(check_file(model, model.tokenizer))


def _encoder_sizes(model: Model, info: EncoderInfo, architecture: str) -> dict[str, int]:
    if info.architecture != architecture:
        raise DamagedFileError(f"model {model.name}: {info.file} is {info.architecture!r}, expected {architecture!r}")
    return {name: getattr(info, name) for name in ("layers", "hidden", "heads", "feed_forward", "vocabulary")}


def _load(
    model: Model,
    info: FileInfo,
    make: Callable[[], _Module],
    device: torch.device | str,
    dtype: torch.dtype,
    products: torch.dtype | None = None,
) -> _Module:
    """Return the module that `make` makes, with the tensors of a file: buffers as they are, parameters converted.

    Those of linear layers become `products`, or else `dtype` like all others.
    """
    path = check_file(model, info)
    with torch.device("meta"):
        module = make()
    wanted, dtypes = module.state_dict(), {name: dtype for name, _ in module.named_parameters()}
    if products is not None:
        linear = (name for name, part in module.named_modules() if isinstance(part, nn.Linear))
        dtypes |= {name: products for part in linear for name in (f"{part}.weight", f"{part}.bias") if name in dtypes}
    tensors: dict[str, torch.Tensor] = {}
    try:
        with safe_open(path, framework="pt", device=str(device)) as file, safe_open(path, framework="pt") as on_host:
            if set(file.keys()) != wanted.keys():
                raise DamagedFileError(f"{path}: not the tensors that model.toml promises; import the model again")
            for name in wanted:
                tensor = file.get_tensor(name)
                kept = dtypes.get(name, tensor.dtype)
                tensors[name] = tensor.to(kept)
                # What computes is compared: both round to the nearest even number, so that no bit may differ.
                if bit_sum(tensors[name]) != bit_sum(on_host.get_tensor(name).to(kept)):
                    gpu = tensor.is_cuda and f"GPU-{torch.cuda.get_device_properties(tensor.device).uuid}"
                    raise FaultyDeviceError(
                        f"{name_device(gpu or None)} holds wrong weights: {name} is not what it is in {path}. Use"
                        " another device, and have this one examined"
                    )
    except SafetensorError as error:
        raise DamagedFileError(f"{path}: {error}; import the model again") from error
    try:
        module.load_state_dict(tensors, assign=True)
    except RuntimeError as error:  # this is how torch reports wrong shapes
        raise DamagedFileError(f"{path}: {error}; import the model again") from error
    return module.requires_grad_(False).eval().to(device)


def bit_sum(tensor: torch.Tensor) -> int:
    """Return the sum of a tensor's bytes, read as integers of 64 bits, modulo 2^64: a flipped bit always changes it."""
    raw = tensor.contiguous().view(-1).view(torch.uint8)
    whole = len(raw) // 8 * 8
    return (int(raw[:whole].view(torch.int64).sum()) + int(raw[whole:].sum(dtype=torch.int64))) % 2**64


def check_file(model: Model, info: FileInfo, *, anew: bool = False) -> Path:
    """Return the path of a file of the model after checking it against `model.toml`.

    Size and checksum must be right. The checksum of a large file is computed again only if the directory has no record
    of an earlier check of the same size and times; where no record can be written, it is computed every time. One of
    the times is that of the inode, which no program can choose.

    Args:
        model: Model that has the file.
        info: Description of the file.
        anew: Whether to compute the checksum whatever is on record.

    Raises:
        DamagedFileError: the file is missing, or is not the one described.
    """
    path = model.path(info)
    try:
        found = path.stat()
    except FileNotFoundError:
        raise DamagedFileError(f"{path}: missing; import or fetch model {model.name} again") from None
    if not anew and found.st_size == info.bytes and _is_on_record(path, info):
        return path
    if found.st_size > _ALWAYS_HASHED_BYTES:
        _log.info("taking the checksum of %s (%.1f GB)", path, found.st_size / 1e9)
    if found.st_size != info.bytes or sha256(path) != info.sha256:
        raise DamagedFileError(f"{path}: not the file that model.toml describes; import model {model.name} again")
    note_checked(path, info)
    return path


def verify(model: Model, *, canaries: bool = True) -> list[str]:
    """Check every file anew, whatever is on record; return the problems, in words.

    Args:
        model: Model.
        canaries: Whether to check the kept vectors of the canaries too.
    """
    problems = []
    for info in model.files:
        try:
            check_file(model, info, anew=True)
        except DamagedFileError as error:
            problems.append(str(error))
    if canaries:
        try:
            check_canaries(model)
        except DamagedFileError as error:
            problems.append(str(error))
    return problems


def verify_models(
    names: Sequence[str], models_dir: Path | None, say: Callable[[str], object], *, canaries: bool = True
) -> None:
    """Verify models and print a line for each.

    Args:
        names: Names or folders of models; all models where there are none.
        models_dir: Folder of imported models; None for the site's or the user's own.
        say: Function that prints a line.
        canaries: As for `verify`.

    Raises:
        DamagedFileError: a model is damaged.
        UsageError: there is no model of one of these names.
    """
    directories = [find_directory(name, models_dir) for name in names] if names else model_directories(models_dir)
    problems: list[str] = []
    for directory in directories:
        try:
            found = verify(read_model(directory), canaries=canaries)
        except DamagedFileError as error:
            found = [str(error)]
        say(f"{directory}: {'damaged' if found else 'complete, all checksums right'}")
        problems += found
    if problems:
        raise DamagedFileError("\n".join(problems))


def note_checked(path: Path, info: FileInfo) -> None:
    """Record that `path`, if it is large, has the checksum of `info` at its present size and times."""
    if info.bytes <= _ALWAYS_HASHED_BYTES:
        return
    try:
        with atomic_path(_record(path)) as temporary:
            temporary.write_text(_state(path, info))
    except OSError as error:
        _log.info("cannot note that %s was checked (%s); its checksum is taken at every start", path, error)


def _is_on_record(path: Path, info: FileInfo) -> bool:
    try:
        return _record(path).read_text() == _state(path, info)
    except (OSError, UnicodeDecodeError):  # none yet, or unreadable: check anew
        return False


def _record(path: Path) -> Path:
    return path.with_name(f".{path.name}.verified")


def _state(path: Path, info: FileInfo) -> str:
    state = path.stat()
    return f"{info.sha256} {state.st_mtime_ns} {state.st_ctime_ns} {info.bytes}\n"
