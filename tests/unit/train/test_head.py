"""Training of the classifier: the original's recipe step by step, and equal weights after a kill."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from tests.helpers.training_runs import DIMENSION, SEED, check_resumed, examples
from virnucpro_kernels.errors import VirnucproError
from virnucpro_kernels.train.head import RECIPES, Epoch, Examples, epoch_seed, train_classifier


def reference(train: Examples, val: Examples) -> tuple[list[float], dict[str, torch.Tensor]]:
    """The original's recipe in plain torch: losses on val of all epochs, and the weights of the best one."""
    torch.manual_seed(SEED)
    network = nn.Sequential(
        nn.Linear(DIMENSION, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, 2)
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=2e-4, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.85)
    criterion = nn.CrossEntropyLoss()
    losses: list[float] = []
    best: dict[str, torch.Tensor] = {}
    waited = 0
    for epoch in range(200):
        torch.manual_seed(epoch_seed(SEED, epoch))
        network.train()
        order = torch.randperm(len(train))
        for start in range(0, len(train), 32):
            batch = order[start : start + 32]
            optimizer.zero_grad()
            criterion(network(train.features[batch]), train.labels[batch]).backward()
            optimizer.step()
        schedule.step()
        network.eval()
        with torch.no_grad():
            loss = float(criterion(network(val.features), val.labels))
        waited = 0 if not losses or loss < min(losses) else waited + 1
        losses.append(loss)
        if waited == 0:
            best = {name: value.clone() for name, value in network.state_dict().items()}
        if waited == 5:
            break
    return losses, best


@pytest.mark.parametrize("contrary", [False, True])
def test_the_recipe_of_the_original_is_that_of_plain_torch(contrary: bool) -> None:
    train, val = examples(100, 0), examples(40, 1, contrary=contrary)
    losses, best = reference(train, val)
    assert len(losses) < 200 if contrary else len(losses) > 10
    trained = train_classifier(train, val, RECIPES["original"], SEED)
    assert [epoch.val_loss for epoch in trained.epochs] == losses
    names = dict(zip(("0", "1", "4"), ("hidden", "norm", "output"), strict=True))
    for name, value in best.items():
        layer, _, kind = name.partition(".")
        assert torch.equal(trained.classifier.state_dict()[f"{names[layer]}.{kind}"], value), name


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.usefixtures("one_thread")
def test_training_that_was_killed_ends_with_the_same_weights(tmp_path: Path, recipe: str) -> None:
    check_resumed(recipe, "cpu", tmp_path)


def test_a_checkpoint_of_other_frames_is_not_used(tmp_path: Path) -> None:
    recipe, val = replace(RECIPES["default"], epochs=2), examples(50, 1)
    train_classifier(examples(300, 5), val, recipe, SEED, checkpoint=tmp_path / "state")
    found = train_classifier(examples(300, 0), val, recipe, SEED, checkpoint=tmp_path / "state")
    expected = train_classifier(examples(300, 0), val, recipe, SEED)
    assert torch.equal(found.classifier.hidden.weight, expected.classifier.hidden.weight)


@pytest.mark.parametrize("damage", ["cut", "flipped bit", "empty"])
def test_a_damaged_checkpoint_is_not_used(tmp_path: Path, damage: str) -> None:
    state, recipe = tmp_path / "state", replace(RECIPES["default"], epochs=2)
    data = examples(300, 0), examples(50, 1)
    expected = train_classifier(*data, recipe, SEED, checkpoint=state)
    whole = bytearray(state.read_bytes())
    weights = expected.classifier.output.weight.numpy().tobytes()
    whole[whole.index(weights) + 3] ^= 64
    state.write_bytes({"cut": bytes(whole[:-100]), "flipped bit": bytes(whole), "empty": b""}[damage])
    told: list[int] = []
    found = train_classifier(*data, recipe, SEED, checkpoint=state, progress=lambda number, _: told.append(number))
    assert told == [1, 2]
    assert torch.equal(found.classifier.output.weight, expected.classifier.output.weight)


def test_the_default_recipe_learns_takes_features_as_they_are_and_keeps_the_best_epoch() -> None:
    train, val = examples(2000, 0), examples(500, 1)
    told: list[Epoch] = []
    trained = train_classifier(train, val, RECIPES["default"], SEED, progress=lambda _, epoch: told.append(epoch))
    assert trained.epochs == tuple(told)
    assert trained.epochs[trained.best - 1].val_loss == min(epoch.val_loss for epoch in told)
    with torch.inference_mode():
        logits = trained.classifier(val.features)
        losses = nn.functional.cross_entropy(logits, val.labels, reduction="none")
    assert float((losses * val.weights).sum() / val.weights.sum()) == pytest.approx(
        trained.epochs[trained.best - 1].val_loss, abs=1e-5
    )
    assert roc_auc_score(val.labels, logits[:, 1] - logits[:, 0]) > 0.9


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    train = examples(100, 0)
    train.features[3, 2] = torch.inf
    with pytest.raises(VirnucproError, match="the loss of epoch 1 is not finite"):
        train_classifier(train, examples(40, 1), RECIPES["original"], SEED)
