"""The classifier: the released form is read safely and gives the logits of the module it was pickled from."""

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.helpers.published_files import classifier, write_pickled_classifier
from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.models.classifier import Classifier, ClassifierConfig
from virnucpro_kernels.weights.checkpoints.classifier import read_classifier

RELEASED = ClassifierConfig(dimension=3328)
SMALL = ClassifierConfig(dimension=2048, hidden=16)  # the width of DNABERT-S and ESM-2 650M together


def load(path: Path) -> Classifier:
    config, tensors = read_classifier(path)
    model = Classifier(config).eval()
    model.load_state_dict(tensors)
    return model


@pytest.mark.parametrize("config", [RELEASED, SMALL], ids=["released", "650M"])
def test_a_pickled_classifier_gives_its_own_logits(tmp_path: Path, config: ClassifierConfig) -> None:
    theirs = classifier(config)
    ours = load(write_pickled_classifier(tmp_path / "500_model.pth", theirs))
    assert ours.config == config
    features = torch.randn(100, config.dimension)
    with torch.inference_mode():
        expected = theirs(features)
        torch.testing.assert_close(ours(features), expected, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(ours.logit(features), expected[:, 1] - expected[:, 0], rtol=1e-6, atol=2e-6)
        probability = torch.softmax(expected, 1)[:, 1]
        torch.testing.assert_close(torch.sigmoid(ours.logit(features)), probability, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("key", [None, "model_state_dict", "state_dict", "model"])
def test_a_state_dict_is_read_too_and_one_within_a_checkpoint(tmp_path: Path, key: str | None) -> None:
    theirs = classifier(SMALL)
    state = theirs.state_dict()
    torch.save(state if key is None else {key: state, "epoch": 7, "metadata": {"by": "us"}}, tmp_path / "c.pth")
    features = torch.randn(5, SMALL.dimension)
    with torch.inference_mode():
        torch.testing.assert_close(load(tmp_path / "c.pth")(features), theirs(features), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2)),
        nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.Linear(4, 2)),
        nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)),
        nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4, eps=1e-3), nn.Linear(4, 2)),
    ],
    ids=["no-norm", "three-layers", "three-classes", "other-eps"],
)
def test_another_architecture_is_refused(tmp_path: Path, module: nn.Module) -> None:
    torch.save(module, tmp_path / "c.pth")
    with pytest.raises(DamagedFileError, match=r"c\.pth (is not a classifier|has a batch normalisation)"):
        read_classifier(tmp_path / "c.pth")


def test_what_is_no_classifier_is_refused(tmp_path: Path) -> None:
    torch.save({"weights": [1, 2, 3]}, tmp_path / "c.pth")
    with pytest.raises(DamagedFileError, match="something else than tensors"):
        read_classifier(tmp_path / "c.pth")
