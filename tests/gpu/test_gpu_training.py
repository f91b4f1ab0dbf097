"""Training of the classifier on a GPU: equal weights after a kill."""

from pathlib import Path

import pytest
import torch

from tests.helpers.training_runs import check_resumed
from virnucpro_kernels.train.head import RECIPES

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")]


@pytest.mark.parametrize("recipe", RECIPES)
def test_training_that_was_killed_ends_with_the_same_weights(tmp_path: Path, recipe: str) -> None:
    check_resumed(recipe, "cuda", tmp_path)
