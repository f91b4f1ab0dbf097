"""Trains a classifier on features of frames, by the original's recipe or by ours; goes on after an interruption.

All that is random in an epoch follows from the seed and the number of the epoch, and a checkpoint is written after
each: training that was killed goes on from the last whole epoch and ends with the same weights, bit for bit.
"""

import hashlib
import io
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from virnucpro_kernels.errors import VirnucproError
from virnucpro_kernels.files import atomic_path
from virnucpro_kernels.models.classifier import Classifier, ClassifierConfig

_log = logging.getLogger(__name__)
_DROPOUT = 0.5
#: Bytes of the SHA-256 at the begin of a checkpoint: torch does not notice a flipped bit.
_DIGEST_BYTES = 32


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained. The weights of the epoch with the lowest loss on val are kept.

    Attributes:
        name: Name of the recipe.
        optimizer: `sgd` with a momentum of 0.9 and a rate that shrinks to 0.85 of itself every 10 epochs, or `adamw`
            with a weight decay of 1 and a rate that falls to 0 with the steps, as a cosine does.
        learning_rate: Rate at the start.
        batch: Frames of a step.
        epochs: Largest number of epochs.
        patience: Training ends after this many epochs in a row without a lower loss on val; 0 for never.
        standardise: Whether features are shifted and scaled to mean 0 and deviation 1 on train; the classifier that
            results takes them as they are.
        by_window: Whether the frames of a window share a weight of 1 in the loss; else each frame has it.
    """

    name: str
    optimizer: str
    learning_rate: float
    batch: int
    epochs: int
    patience: int
    standardise: bool
    by_window: bool


#: The original's recipe, and ours, which was chosen on the val split of real genomes.
RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("original", "sgd", 2e-4, 32, 200, 5, standardise=False, by_window=False),
        Recipe("default", "adamw", 2e-3, 256, 20, 0, standardise=True, by_window=True),
    )
}


@dataclass(frozen=True, eq=False)
class Examples:
    """Frames of one side of the split.

    Attributes:
        features: Nucleotide and protein embedding side by side, fp32 (f, d).
        labels: Class, 0 host or 1 virus, int64 (f,).
        weights: Share in the loss where the frames of a window have one in common, fp32 (f,).
    """

    features: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor

    def to(self, device: torch.device) -> "Examples":
        """Return the frames on a device."""
        return Examples(self.features.to(device), self.labels.to(device), self.weights.to(device))

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Epoch:
    """Mean loss of an epoch on train, with dropout, and after it on val."""

    train_loss: float
    val_loss: float


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained classifier, in inference mode on the CPU, and the losses of all epochs."""

    classifier: Classifier
    epochs: tuple[Epoch, ...]

    @property
    def best(self) -> int:
        """Number of the epoch whose weights were kept, from 1."""
        return 1 + min(range(len(self.epochs)), key=lambda number: self.epochs[number].val_loss)


def train_classifier(
    train: Examples,
    val: Examples,
    recipe: Recipe,
    seed: int,
    *,
    device: torch.device | str = "cpu",
    checkpoint: Path | None = None,
    progress: Callable[[int, Epoch], object] = lambda *_: None,
) -> Trained:
    """Train a classifier.

    Args:
        train, val: Frames to train on, and frames of other genomes that decide which epoch is kept.
        recipe: How.
        seed: Decides the first weights, the order and the dropout.
        device: Where to compute. Weights are equal to the bit on one kind of device with one number of threads.
        checkpoint: File that is written after each epoch, and from which training goes on where it is there.
        progress: Function that is called after each epoch with the number of epochs so far and the losses.

    Raises:
        VirnucproError: the loss is not finite.
    """
    training = _Training(train, val, recipe, seed, torch.device(device))
    if checkpoint is not None and checkpoint.exists():
        training.load(checkpoint)
    while not training.ended:
        training.advance()
        if checkpoint is not None:
            training.save(checkpoint)
        progress(len(training.epochs), training.epochs[-1])
    return Trained(training.result(), tuple(training.epochs))


def epoch_seed(seed: int, epoch: int) -> int:
    """Return the seed of the order and the dropout of an epoch, counted from 0."""
    return int.from_bytes(hashlib.sha256(f"{seed} {epoch}".encode()).digest()[:6])


class _Training:
    """A classifier on its way, with all that decides the next epoch."""

    def __init__(self, train: Examples, val: Examples, recipe: Recipe, seed: int, device: torch.device) -> None:
        self._recipe, self._seed = recipe, seed
        self._fingerprint = _fingerprint(train, val, recipe, seed, device)
        self._train, self._val = train.to(device), val.to(device)
        torch.manual_seed(seed)
        self._classifier = Classifier(ClassifierConfig(train.features.shape[1])).to(device)
        self._scale = _scale(train.features) if recipe.standardise else None
        if self._scale is not None:
            self._train, self._val = (_scaled(part, *self._scale) for part in (self._train, self._val))
        self._optimizer, self._schedule = self._make_optimizer()
        self._best: dict[str, torch.Tensor] = {}
        self.epochs: list[Epoch] = []

    def _make_optimizer(self) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        parameters, rate = self._classifier.parameters(), self._recipe.learning_rate
        if self._recipe.optimizer == "sgd":
            sgd = torch.optim.SGD(parameters, lr=rate, momentum=0.9)
            return sgd, torch.optim.lr_scheduler.StepLR(sgd, step_size=10, gamma=0.85)
        adamw = torch.optim.AdamW(parameters, lr=rate, weight_decay=1.0)
        steps = math.ceil(len(self._train) / self._recipe.batch)
        return adamw, torch.optim.lr_scheduler.CosineAnnealingLR(adamw, self._recipe.epochs * steps)

    @property
    def ended(self) -> bool:
        """Whether there is no further epoch."""
        losses = [epoch.val_loss for epoch in self.epochs]
        since_best = len(losses) - 1 - losses.index(min(losses)) if losses else 0
        return len(losses) == self._recipe.epochs or bool(self._recipe.patience and since_best >= self._recipe.patience)

    def advance(self) -> None:
        """Train for an epoch."""
        torch.manual_seed(epoch_seed(self._seed, len(self.epochs)))
        self._classifier.train()
        total = torch.zeros((), device=self._train.labels.device)
        for batch in self._batches():
            part = Examples(self._train.features[batch], self._train.labels[batch], self._train.weights[batch])
            loss = self._loss(_training_logits(self._classifier, part.features), part)
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            if self._recipe.optimizer == "adamw":
                self._schedule.step()
            total += loss.detach() * len(batch)
        if self._recipe.optimizer == "sgd":
            self._schedule.step()
        self._classifier.eval()
        with torch.inference_mode():
            val_loss = float(self._loss(self._classifier(self._val.features), self._val))
        epoch = Epoch(float(total) / len(self._train), val_loss)
        if not math.isfinite(epoch.train_loss + epoch.val_loss):
            raise VirnucproError(
                f"the loss of epoch {len(self.epochs) + 1} is not finite: some features are too large; try the default"
                " recipe, which scales them, or embed in fp32"
            )
        if not self.epochs or val_loss < min(epoch.val_loss for epoch in self.epochs):
            self._best = {name: value.clone() for name, value in self._classifier.state_dict().items()}
        self.epochs.append(epoch)

    def _batches(self) -> Iterator[torch.Tensor]:
        """Yield the frames of each step in a random order; a last one alone is left out, as it has no deviation."""
        order = torch.randperm(len(self._train)).to(self._train.labels.device)
        return (batch for batch in torch.split(order, self._recipe.batch) if len(batch) > 1)

    def _loss(self, logits: torch.Tensor, examples: Examples) -> torch.Tensor:
        if not self._recipe.by_window:
            return functional.cross_entropy(logits, examples.labels)
        losses = functional.cross_entropy(logits, examples.labels, reduction="none")
        return (losses * examples.weights).sum() / examples.weights.sum()

    def result(self) -> Classifier:
        """Return the classifier with the best weights, for features as they are."""
        classifier = Classifier(self._classifier.config)
        classifier.load_state_dict(self._best)
        if self._scale is not None:
            mean, deviation = self._scale
            with torch.no_grad():
                classifier.hidden.weight.div_(deviation)
                classifier.hidden.bias.sub_(classifier.hidden.weight @ mean)
        return classifier.requires_grad_(False).eval()

    def save(self, path: Path) -> None:
        """Write all that decides what follows."""
        state = {
            "fingerprint": self._fingerprint,
            "classifier": self._classifier.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "best": self._best,
            "epochs": [asdict(epoch) for epoch in self.epochs],
        }
        content = io.BytesIO()
        torch.save(state, content)
        with atomic_path(path) as temporary:
            temporary.write_bytes(hashlib.sha256(content.getbuffer()).digest() + content.getbuffer())

    def load(self, path: Path) -> None:
        """Go on from a checkpoint; where it is damaged, or of other data or settings, training begins anew."""
        whole = path.read_bytes()
        content = whole[_DIGEST_BYTES:]
        if whole[:_DIGEST_BYTES] != hashlib.sha256(content).digest():
            _log.warning("%s is damaged; training begins anew", path)
            return
        state: dict[str, Any] = torch.load(
            io.BytesIO(content), map_location=self._train.labels.device, weights_only=True
        )
        if state["fingerprint"] != self._fingerprint:
            _log.info("%s is of other frames or settings; training begins anew", path)
            return
        self._classifier.load_state_dict(state["classifier"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._best = state["best"]
        self.epochs = [Epoch(**epoch) for epoch in state["epochs"]]
        _log.info("%s: going on after epoch %d", path, len(self.epochs))


def _training_logits(classifier: Classifier, features: torch.Tensor) -> torch.Tensor:
    """Return the logits as `Classifier.forward` does, with dropout before the last layer."""
    hidden = functional.relu(classifier.norm(classifier.hidden(features)))
    logits: torch.Tensor = classifier.output(functional.dropout(hidden, _DROPOUT))
    return logits


def _scale(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and deviation of each feature, (d,) each; a feature that is always the same keeps its scale."""
    deviation, mean = torch.std_mean(features, dim=0)
    return mean, torch.where(deviation > 0, deviation, 1.0)


def _scaled(examples: Examples, mean: torch.Tensor, deviation: torch.Tensor) -> Examples:
    device = examples.features.device
    features = (examples.features - mean.to(device)) / deviation.to(device)
    return Examples(features, examples.labels, examples.weights)


def _fingerprint(train: Examples, val: Examples, recipe: Recipe, seed: int, device: torch.device) -> str:
    """Return a checksum of all that decides the weights."""
    found = hashlib.sha256(repr((asdict(recipe), seed, device.type)).encode())
    for part in (train, val):
        for tensor in (part.features, part.labels, part.weights):
            found.update(tensor.contiguous().cpu().numpy().data)
    return found.hexdigest()
