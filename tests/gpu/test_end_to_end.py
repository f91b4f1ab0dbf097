"""From a chunk's frames to scores on a GPU: every precision and attention backend beside the reference encoders."""

import pytest
import torch

from tests.helpers.precision_runs import PrecisionRuns, Scores, check_scores

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> PrecisionRuns:
    return PrecisionRuns(tmp_path_factory.mktemp("runs"), "cuda")


@pytest.fixture(scope="module")
def exact(runs: PrecisionRuns) -> Scores:
    pytest.importorskip("esm")
    found, kernels = runs.scores("reference", "auto")
    assert kernels == "dense,fair-esm"
    return found


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "fp8-ff", "fp8"])
@pytest.mark.parametrize("attention", ["triton,triton", "triton,flash", "flash-attn,flash-attn", "sdpa,sdpa"])
def test_scores_are_those_of_the_reference(precision: str, attention: str, runs: PrecisionRuns, exact: Scores) -> None:
    if precision.startswith("fp8") and torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("needs compute capability 8.9")
    if precision == "fp32" and "flash" in attention:
        pytest.skip("FlashAttention computes in 16 bit")
    if "flash-attn" in attention:
        pytest.importorskip("flash_attn")
    found, kernels = runs.scores(precision, attention)
    assert kernels == attention
    check_scores(precision, found, exact)
