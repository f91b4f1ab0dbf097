"""Trainings of the classifier on random features, for the tests on a CPU and on a GPU."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from virnucpro_kernels.models.classifier import Classifier
from virnucpro_kernels.train.head import RECIPES, Epoch, Examples, train_classifier

SEED, DIMENSION = 11, 8
_EPOCHS, _KILLED_AFTER = 12, 7


def examples(number: int, seed: int, *, contrary: bool = False) -> Examples:
    """Frames of two classes two standard deviations apart, in features of unlike scales; or with the wrong labels."""
    chance = torch.Generator().manual_seed(seed)
    labels = torch.arange(number) % 2
    features = torch.randn(number, DIMENSION, generator=chance) + 2 * labels[:, None] / DIMENSION**0.5
    weights = torch.rand(number, generator=chance) + 0.5
    scales = 10.0 ** torch.linspace(-1, 1, DIMENSION)
    return Examples(features * scales, 1 - labels if contrary else labels, weights)


def _train(
    recipe: str, device: str, checkpoint: Path | None, progress: Callable[[int, Epoch], object] = lambda *_: None
) -> Classifier:
    shorter = replace(RECIPES[recipe], epochs=_EPOCHS)
    trained = train_classifier(
        examples(600, 0), examples(100, 1), shorter, SEED, device=device, checkpoint=checkpoint, progress=progress
    )
    return trained.classifier


def train_until_killed(recipe: str, device: str, checkpoint: Path) -> None:
    """Train on one thread, and end this process without a chance to tidy up."""
    torch.set_num_threads(1)

    def die(number: int, _: Epoch) -> None:
        if number == _KILLED_AFTER:
            os.kill(os.getpid(), signal.SIGKILL)

    _train(recipe, device, checkpoint, die)


def check_resumed(recipe: str, device: str, folder: Path) -> None:
    """Kill a training, go on, and check that its weights are those of one that was not killed."""
    checkpoint = folder / "state"
    call = f"from {__name__} import *; train_until_killed({recipe!r}, {device!r}, Path({str(checkpoint)!r}))"
    assert subprocess.run([sys.executable, "-c", call], check=False).returncode == -signal.SIGKILL
    told: list[int] = []
    resumed = _train(recipe, device, checkpoint, lambda number, _: told.append(number))
    assert told == list(range(_KILLED_AFTER + 1, _EPOCHS + 1))
    whole = _train(recipe, device, None)
    for (name, one), other in zip(resumed.state_dict().items(), whole.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
