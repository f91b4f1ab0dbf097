"""What was computed of a model on this machine, kept in its directory: precisions compared, vectors of the canaries."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.files import atomic_path
from virnucpro_kernels.weights.registry import Model

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
    _keep(model, _CANARIES, {alphabet: of.tolist() for alphabet, of in vectors.items()})


def kept_canaries(model: Model, alphabet: str) -> npt.NDArray[np.float32] | None:
    """Return the vectors of the canaries of an encoder, float32 (n, d); None where there are none, or of other weights.

    Raises:
        DamagedFileError: the file cannot be read.
    """
    path = model.directory / _CANARIES
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return np.array(found[alphabet], np.float32) if found["weights"] == _weights(model) else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DamagedFileError(
            f"{path}: damaged ({error}); remove it, or make it again with `virnucpro weights verify --canaries`"
        ) from error


def _keep(model: Model, name: str, content: Mapping[str, Any]) -> None:
    with atomic_path(model.directory / name) as temporary:
        temporary.write_text(json.dumps({"weights": _weights(model)} | dict(content)) + "\n", encoding="utf-8")


def _weights(model: Model) -> list[str]:
    """Return the checksums of all files of the model. A calibration changes none of what is kept here."""
    return [info.sha256 for info in model.files]
