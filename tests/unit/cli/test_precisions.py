"""From a chunk's frames to scores on a CPU: every precision beside the reference encoders."""

import numpy as np
import pytest
import torch

from tests.helpers.precision_runs import PrecisionRuns, Scores, check_scores
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.models.similarity import cosines
from virnucpro_kernels.ops.dispatch import check_bf16


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> PrecisionRuns:
    return PrecisionRuns(tmp_path_factory.mktemp("runs"), "cpu")


@pytest.fixture(scope="module")
def exact(runs: PrecisionRuns) -> Scores:
    found, kernels = runs.scores("reference", "auto")
    assert kernels == "dense,fair-esm"
    return found


def skip_without_bf16() -> None:
    try:
        check_bf16(torch.device("cpu"))
    except UsageError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_scores_are_those_of_the_reference(precision: str, runs: PrecisionRuns, exact: Scores) -> None:
    if precision == "bf16":
        skip_without_bf16()
    found, kernels = runs.scores(precision, "auto")
    assert kernels == "sdpa,sdpa"
    check_scores(precision, found, exact)


def test_vectors_in_bf16_are_near_those_in_fp32(runs: PrecisionRuns) -> None:
    skip_without_bf16()
    exact, _ = runs.scores("fp32", "auto")
    found, _ = runs.scores("bf16", "auto")
    assert np.mean((found > 0.5) == (exact > 0.5)) > 0.99
    for alphabet, vectors in runs.vectors("fp32", "auto").items():
        near = cosines(runs.vectors("bf16", "auto")[alphabet], vectors)
        assert near.worst > 0.999
        assert near.centred_mean > 0.999
