"""What was measured of a model on this machine, kept in its directory: `precisions.json`. Standard library only."""

import json
from typing import Any

from virnucpro_kernels.files import atomic_path
from virnucpro_kernels.weights.registry import Model

_PRECISIONS = "precisions.json"


def keep_precisions(model: Model, comparison: dict[str, Any]) -> None:
    """Keep the comparison of precisions in the directory of the model, in place of an earlier one.

    Raises:
        OSError: the directory cannot be written.
    """
    with atomic_path(model.directory / _PRECISIONS) as temporary:
        temporary.write_text(json.dumps({"model_id": model.model_id} | comparison, indent=2) + "\n", encoding="utf-8")


def kept_precisions(model: Model) -> dict[str, Any] | None:
    """Return what `keep_precisions` kept; None where there is nothing, or it was measured with other weights.

    A file that cannot be read is no reason to fail: it decides no number. What is wrong is returned under `unreadable`.
    """
    path = model.directory / _PRECISIONS
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if found["model_id"] == model.model_id else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        return {"unreadable": f"{path}: {error}"}
