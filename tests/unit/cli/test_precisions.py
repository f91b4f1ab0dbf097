"""From a chunk's frames to scores on a CPU: every precision beside the reference encoders."""

import pytest

from tests.helpers.precision_runs import PrecisionRuns, Scores, check_scores


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> PrecisionRuns:
    return PrecisionRuns(tmp_path_factory.mktemp("runs"), "cpu")


@pytest.fixture(scope="module")
def exact(runs: PrecisionRuns) -> Scores:
    found, kernels = runs.scores("reference", "auto")
    assert kernels == "dense,fair-esm"
    return found


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_scores_are_those_of_the_reference(precision: str, runs: PrecisionRuns, exact: Scores) -> None:
    found, kernels = runs.scores(precision, "auto")
    assert kernels == "sdpa,sdpa"
    check_scores(precision, found, exact)
