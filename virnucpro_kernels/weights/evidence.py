"""What was computed of a model on this machine, kept in its directory: precisions compared, vectors of the canaries."""

import hashlib
import json
import logging
import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.files import atomic_path
from virnucpro_kernels.weights.registry import Model

_log = logging.getLogger(__name__)

_PRECISIONS = "precisions.json"
_CANARIES = "canaries.json"


def keep_precisions(model: Model, comparison: dict[str, Any]) -> None:
    """Keep the comparison of precisions in the directory of the model, in place of an earlier one.

    Raises:
        OSError: the directory cannot be written.
    """
    _keep(model, _PRECISIONS, comparison)


def kept_precisions(model: Model) -> dict[str, Any] | None:
    """Return what `keep_precisions` kept; None where there is nothing, or it was measured with other weights.

    A file that cannot be read is no reason to fail: it decides no number. What is wrong is returned under `unreadable`.
    """
    path = model.directory / _PRECISIONS
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if found["weights"] == _weights(model) else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        return {"unreadable": f"{path}: {error}"}


def keep_canaries(model: Model, vectors: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """Keep the vectors (n, d) of the canaries of both encoders, in place of earlier ones.

    Raises:
        OSError: the directory cannot be written.
    """
    values = {alphabet: of.tolist() for alphabet, of in vectors.items()}
    _keep(model, _CANARIES, values | {"sha256": _checksum(_weights(model), vectors)})


def kept_canaries(model: Model, alphabet: str) -> npt.NDArray[np.float32] | None:
    """Return the vectors of the canaries of an encoder, float32 (n, d); None where there are none, or of other weights.

    Raises:
        DamagedFileError: the file cannot be read, or its content is not what its checksum says.
    """
    found = _read_canaries(model)
    return None if found is None else found[alphabet]


def check_canaries(model: Model) -> None:
    """Read the vectors of the canaries, if there are any; DamagedFileError as from `kept_canaries`."""
    _read_canaries(model)


def remove_damaged_canaries(model: Model) -> None:
    """Remove the file of the canaries if it is damaged: no encoder loads beside it, and it has to be made again.

    Raises:
        OSError: the directory cannot be written.
    """
    try:
        check_canaries(model)
    except DamagedFileError as error:
        _log.info("removing a damaged file: %s", error)
        (model.directory / _CANARIES).unlink()


def _read_canaries(model: Model) -> dict[str, npt.NDArray[np.float32]] | None:
    path = model.directory / _CANARIES
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        weights = found["weights"]
        vectors = {alphabet: np.array(found[alphabet], np.float32) for alphabet in ("nucleotide", "protein")}
        if found["sha256"] != _checksum(weights, vectors):
            raise ValueError("not the content that its checksum is of")
        if weights != _weights(model):
            _log.info("%s is of other weights, so canaries are compared with nothing that was kept", path)
            return None
        for alphabet, dimension in (("nucleotide", model.nucleotide.dimension), ("protein", model.protein.dimension)):
            if vectors[alphabet].ndim != 2 or vectors[alphabet].shape[1] != dimension:
                raise ValueError(f"{alphabet} vectors are not of {dimension} values")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else error
        again = shlex.join(["virnucpro", "weights", "verify", str(model.directory), "--canaries"])
        raise DamagedFileError(f"{path}: damaged ({what}); remove it, or make it again with `{again}`") from error
    return vectors


def _checksum(weights: list[str], vectors: Mapping[str, npt.NDArray[np.float32]]) -> str:
    """Return the hexadecimal SHA-256 of the checksums of the weights, one a line, and of all values as float32.

    The alphabets come in the order of their names, each as a line with its name and shape, and the bytes of its values.
    """
    checksum = hashlib.sha256("".join(f"{line}\n" for line in weights).encode())
    for alphabet, of in sorted(vectors.items()):
        checksum.update(f"{alphabet} {' '.join(map(str, of.shape))}\n".encode())
        checksum.update(of.astype("<f4").tobytes())
    return checksum.hexdigest()


def _keep(model: Model, name: str, content: Mapping[str, Any]) -> None:
    with atomic_path(model.directory / name) as temporary:
        temporary.write_text(json.dumps({"weights": _weights(model)} | dict(content)) + "\n", encoding="utf-8")


def _weights(model: Model) -> list[str]:
    """Return the checksums of all files of the model. A calibration changes none of what is kept here."""
    return [info.sha256 for info in model.files]
