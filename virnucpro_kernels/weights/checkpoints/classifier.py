"""The classifier as released, pickled whole, or as a state dict."""

from pathlib import Path
from typing import Any

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.models.classifier import BATCH_NORM_EPS, ClassifierConfig
from virnucpro_kernels.weights.checkpoints.safe_pickle import read_checkpoint
from virnucpro_kernels.weights.checkpoints.tensors import Tensors, only_tensors


class _InertModule:
    """Stand-in for a pickled module, with its state and without its behaviour."""


_CLASSIFIER_CLASSES = (
    "__main__.MLPClassifier",
    "torch.nn.modules.linear.Linear",
    "torch.nn.modules.batchnorm.BatchNorm1d",
    "torch.nn.modules.dropout.Dropout",
    "torch.nn.modules.activation.ReLU",
    "torch.nn.modules.container.Sequential",
)


_STATE = ("_parameters", "_buffers", "_modules")
_MOST_MODULES = 100  # a module that contains itself has no end


def read_classifier(path: Path) -> tuple[ClassifierConfig, Tensors]:
    """Read a classifier: a pickled `MLPClassifier` as released, its state dict, or a dict with its state dict in it.

    Its layers are recognised by their tensors, not by their names: two linear layers, the second of two outputs, and a
    batch normalisation between them.

    Raises:
        UsageError: there is no such file.
        DamagedFileError: the file is not such a classifier, is damaged, or unsafe.
    """
    content = read_checkpoint(path, [(_InertModule, name) for name in _CLASSIFIER_CLASSES])
    if isinstance(content, dict):
        nested = [content[name] for name in ("model_state_dict", "state_dict", "model") if name in content]
        content = nested[0] if nested else content
    if isinstance(content, _InertModule):
        content = _state_dict(path, content)
    tensors = only_tensors(path, content)
    layers: dict[str, Tensors] = {}
    for name, tensor in tensors.items():
        layer, _, kind = name.rpartition(".")
        layers.setdefault(layer, {})[kind] = tensor
    norms = [layer for layer in layers.values() if "running_mean" in layer]
    linears = [layer for layer in layers.values() if "weight" in layer and layer["weight"].dim() == 2]
    linears.sort(key=lambda layer: len(layer["weight"]) == 2)  # the output layer last
    if len(norms) != 1 or len(linears) != 2 or len(layers) != 3 or len(linears[1]["weight"]) != 2:
        raise DamagedFileError(
            f"{path} is not a classifier, which has two linear layers, the second of two outputs, and a batch"
            " normalisation between them"
        )
    hidden_layer, output_layer = linears
    converted = {f"hidden.{kind}": tensor for kind, tensor in hidden_layer.items()}
    converted |= {f"norm.{kind}": tensor for kind, tensor in norms[0].items()}
    converted |= {f"output.{kind}": tensor for kind, tensor in output_layer.items()}
    hidden, dimension = hidden_layer["weight"].shape
    return ClassifierConfig(dimension, hidden), converted


def _state_dict(path: Path, module: _InertModule) -> dict[str, Any]:
    """State dict of the pickled module, children of children included."""
    state: dict[str, Any] = {}
    modules = [("", module)]  # grows while it is walked
    for prefix, module in modules:
        facts = vars(module)
        if len(modules) > _MOST_MODULES or not all(isinstance(facts.get(kind, {}), dict) for kind in _STATE):
            raise DamagedFileError(f"{path} has a part that is not built as a module of PyTorch is; get the file again")
        if facts.get("eps", BATCH_NORM_EPS) != BATCH_NORM_EPS:
            raise DamagedFileError(
                f"{path} has a batch normalisation whose eps is not {BATCH_NORM_EPS}, which no classifier has"
            )
        tensors = facts.get("_parameters", {}) | facts.get("_buffers", {})
        state |= {f"{prefix}{name}": tensor for name, tensor in tensors.items() if tensor is not None}
        modules += [
            (f"{prefix}{name}.", child)
            for name, child in facts.get("_modules", {}).items()
            if isinstance(child, _InertModule)
        ]
    return state
