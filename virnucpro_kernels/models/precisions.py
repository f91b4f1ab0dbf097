"""Precisions of the encoders and types of stored embeddings: what they mean, and what runs where. Imports no torch."""

import re
import socket
from importlib.util import find_spec

from virnucpro_kernels.errors import UsageError

PRECISIONS = ("fp32", "fp16", "bf16", "fp8-ff", "fp8", "reference")
#: Those in which products of the protein encoder are fp8, and whether those around attention are. All else is fp16.
FP8_ATTENTION = {"fp8-ff": False, "fp8": True}
#: How `models.rounding` corrects the biases of rounded products: part of what decides vectors in these precisions.
CORRECTION = "means-2"
EMBEDDING_DTYPES = ("float32", "float16")
NO_FAIR_ESM = "precision reference needs fair-esm: install it with `pip install 'virnucpro[reference]'`"
_FP16_LAYERS = re.compile(r"(.+)\+(\d+(?:,\d+)*)")


def choose_device(requested: str, *, gpu_available: bool) -> str:
    """Return the type of device, `cpu` or `cuda`: `auto` is a GPU where there is one.

    Raises:
        UsageError: there is no such type.
    """
    if requested not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device {requested!r}: choose from auto, cpu, cuda")
    return requested if requested != "auto" else "cuda" if gpu_available else "cpu"


def choose_precision(requested: str, device: str) -> str:
    """Return the precision for a type of device, `cpu` or `cuda`: `auto` is fp16 on a GPU and fp32 on a CPU."""
    if requested != "auto":
        return requested
    return "fp16" if device == "cuda" else "fp32"


def choose_embedding_dtype(requested: str, precision: str) -> str:
    """Return the type of stored embeddings: `auto` is float32 where the precision computes in it, float16 elsewhere.

    Raises:
        UsageError: there is no such type.
    """
    if requested == "auto":
        return "float32" if precision in ("fp32", "reference", "original") else "float16"
    if requested not in EMBEDDING_DTYPES:
        raise UsageError(f"type of embeddings {requested!r}: choose from auto, {', '.join(EMBEDDING_DTYPES)}")
    return requested


def parse_precision(precision: str) -> tuple[str, tuple[int, ...]]:
    """Return the precision without the layers of the protein encoder that it leaves fp16, and these layers.

    Raises:
        UsageError: there is no such precision.
    """
    fp16_layers: tuple[int, ...] = ()
    name = precision
    if match := _FP16_LAYERS.fullmatch(precision):
        name, fp16_layers = match[1], tuple(map(int, match[2].split(",")))
    if name not in (FP8_ATTENTION if fp16_layers else PRECISIONS):
        raise UsageError(f"precision {precision!r}: choose from auto, {', '.join(PRECISIONS)}")
    return name, fp16_layers


def has_fair_esm() -> bool:
    """Whether the reference of ESM-2 is installed."""
    return find_spec("esm") is not None


def name_device(gpu: str | None) -> str:
    """Return the name of a device for messages.

    Args:
        gpu: UUID of a GPU, because a job's only visible one is always cuda:0; None for the CPU.
    """
    return f"{f'GPU {gpu}' if gpu else 'the CPU'} of {socket.gethostname()}"


def check_device(precision: str, device: str) -> None:
    """Refuse a precision, one of `PRECISIONS`, that no device of this type has.

    Raises:
        UsageError: the precision needs another device.
    """
    if precision in FP8_ATTENTION and device != "cuda":
        raise UsageError(
            f"precision {precision} needs an NVIDIA GPU of compute capability 8.9, not {device}; choose fp32"
        )


def correction_of(precision: str) -> str | None:
    """Return how biases are corrected in a precision, `fp8+0,35` and the like included; None where none is."""
    return CORRECTION if precision.partition("+")[0] in FP8_ATTENTION else None


def no_original(where: str) -> UsageError:
    """Return the error that the embeddings of `precision: original` are missing; `where` is as in "for this chunk"."""
    return UsageError(
        f"precision original uses the embeddings of a run of the original tool, but there are none {where}; take them"
        " over with `virnucpro import`, or choose another precision"
    )


def check_precision(precision: str, device: str, layers: int) -> None:
    """Refuse a precision in which embeddings cannot be computed.

    Args:
        precision: Precision, never `auto`.
        device: `cpu` or `cuda`. The generation of a GPU is known only to the job that has it.
        layers: Number of layers of the protein encoder.

    Raises:
        UsageError: the precision needs another device, a package that is not installed, or layers that the model does
            not have.
    """
    name, fp16_layers = parse_precision(precision)
    if name == "reference" and not has_fair_esm():
        raise UsageError(NO_FAIR_ESM)
    check_device(name, device)
    if max(fp16_layers, default=0) >= layers:
        raise UsageError(
            f"precision {precision} leaves layer {max(fp16_layers)} in fp16, but the last layer of this model is"
            f" {layers - 1}"
        )
