"""LayerNorm, GELU, GLU and the mean over tokens, in Triton's interpreter, against the plain implementations."""

from dataclasses import replace

import pytest
import torch

from tests.helpers.kernel_checks import (
    CONFIG,
    DEVICE,
    check_bias_gelu,
    check_bias_gelu_fp8,
    check_glu,
    check_layernorm,
    check_layernorm_fp8,
    check_linear_gelu,
    check_token_mean,
    random,
)
from virnucpro_kernels.ops.configs import HOPPER, ProductLaunch, TileLaunch
from virnucpro_kernels.ops.gelu import bias_gelu
from virnucpro_kernels.ops.layernorm import NormParameters
from virnucpro_kernels.ops.linear_gelu import linear_gelu, linear_gelu_reference, one_kernel
from virnucpro_kernels.ops.token_mean import TokenRange, layernorm_mean_reference

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=["fp32", "fp16"])


@DTYPES
@pytest.mark.parametrize("width", [32, 320, 480, 768, 1280, 2560])
def test_layernorm(width: int, dtype: torch.dtype) -> None:
    for rows in (1, 5):
        check_layernorm(rows, width, dtype, branch=False, bias=True)
        check_layernorm(rows, width, dtype, branch=True, bias=False)
        check_layernorm(rows, width, dtype, branch=True, bias=True)


@pytest.mark.parametrize("width", [320, 2560])
def test_layernorm_to_fp8(width: int) -> None:
    check_layernorm_fp8(5, width, torch.float16)


@DTYPES
@pytest.mark.parametrize("width", [96, 1280, 10240])
def test_bias_gelu(width: int, dtype: torch.dtype) -> None:
    for rows, in_place in ((1, False), (7, True)):
        check_bias_gelu(rows, width, dtype, in_place=in_place)


@pytest.mark.parametrize(
    ("rows", "inputs", "width"), [(1, 64, 256), (130, 72, 264), (700, 320, 1280), (5, 8, 8)], ids=str
)
def test_linear_gelu(rows: int, inputs: int, width: int) -> None:
    check_linear_gelu(rows, inputs, width, torch.float16)


def test_linear_gelu_with_more_tiles_than_a_group_has() -> None:
    small = ProductLaunch(rows=16, columns=32, depth=16, warps=4, stages=2, group=3)
    check_linear_gelu(150, 72, 264, torch.float16, config=replace(HOPPER, linear_gelu=small))


def _from(first: int, rows: int, columns: int) -> torch.Tensor:
    """A matrix whose memory begins `first` numbers behind a border of 16 bytes."""
    memory = random(rows * columns + first, seed=rows).half()
    return memory[first:].view(rows, columns)


@pytest.mark.parametrize(
    ("x", "weight"),
    [
        (_from(0, 7, 64).float(), _from(0, 96, 64).float()),
        (_from(0, 7, 60), _from(0, 96, 60)),
        (_from(0, 7, 64), _from(0, 92, 64)),
        (_from(1, 7, 64), _from(0, 96, 64)),
        (_from(0, 7, 64), _from(4, 96, 64)),
        (_from(0, 7, 64), _from(0, 64, 96).t()),
        (_from(0, 7, 68)[:1, :64], _from(0, 96, 64)),
        (_from(0, 7, 64)[:0], _from(0, 96, 64)),
    ],
    ids=["fp32", "inputs", "outputs", "offset", "weight's offset", "transposed", "part of a row", "no rows"],
)
def test_linear_gelu_where_tiles_cannot_be_copied(x: torch.Tensor, weight: torch.Tensor) -> None:
    assert one_kernel(x, weight, config=CONFIG) is None
    bias = random(len(weight), seed=3)
    result = linear_gelu(x, weight, bias, config=CONFIG)
    torch.testing.assert_close(result, linear_gelu_reference(x, weight, bias), atol=2e-2, rtol=2e-3)


def test_linear_gelu_of_rows_out_of_wider_ones() -> None:
    x, weight, bias = _from(0, 7, 128)[:, 32:96], _from(0, 96, 64), random(96, seed=3)
    assert one_kernel(x, weight, config=CONFIG)
    result = linear_gelu(x, weight, bias, config=CONFIG)
    torch.testing.assert_close(result, linear_gelu_reference(x, weight, bias), atol=1e-3, rtol=1e-3)


def test_linear_gelu_of_matrices_that_do_not_fit_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        linear_gelu(_from(0, 5, 64), _from(0, 256, 128), random(256, seed=3), config=CONFIG)
    with pytest.raises(RuntimeError, match="dtype"):
        linear_gelu(_from(0, 5, 64), _from(0, 256, 64).bfloat16(), random(256, seed=3), config=CONFIG)


@DTYPES
@pytest.mark.parametrize("width", [96, 3072])
def test_glu(width: int, dtype: torch.dtype) -> None:
    check_glu(1, width, dtype)
    check_glu(7, width, dtype, config=replace(HOPPER, activation=TileLaunch(rows=2, columns=256, warps=4)))


@pytest.mark.parametrize(("rows", "width"), [(5, 96), (3, 1024), (5, 3072)], ids=str)
def test_bias_gelu_to_fp8(rows: int, width: int) -> None:
    check_bias_gelu_fp8(rows, width, torch.float16)


def test_gelu_over_the_whole_range() -> None:
    x = torch.cat((torch.linspace(-12, 12, 4801), torch.tensor([-6e4, -100.0, 100.0, 6e4]))).half().to(DEVICE)
    exact = torch.nn.functional.gelu(x.double())
    result = bias_gelu(x.unsqueeze(0), None, torch.empty_like(x).unsqueeze(0), config=CONFIG)[0].double()
    rounding = torch.exp2(torch.floor(torch.log2(exact.abs().clamp_min(2**-14))) - 11)
    assert ((result - exact).abs() <= rounding * 1.001 + 2.5e-7).all()


def test_gelu_inside_a_product_over_the_whole_range() -> None:
    x = torch.zeros(4807, 8, dtype=torch.float16, device=DEVICE)
    x[:, 0] = torch.cat((torch.linspace(-12, 12, 4801), torch.tensor([-6e4, -100.0, -8.0, 8.0, 100.0, 6e4])))
    weight = torch.eye(8, dtype=torch.float16, device=DEVICE)
    exact = torch.nn.functional.gelu(x[:, 0].double())
    result = linear_gelu(x, weight, torch.zeros(8, device=DEVICE), config=CONFIG)
    assert isinstance(result, torch.Tensor)
    rounding = torch.exp2(torch.floor(torch.log2(exact.abs().clamp_min(2**-14))) - 11)
    assert ((result[:, 0].double() - exact).abs() <= rounding * 1.001 + 6e-7).all()


@DTYPES
@pytest.mark.parametrize(("skip", "max_tokens"), [(1, 8), (0, None)], ids=["esm2", "dnabert"])
def test_mean_over_tokens(dtype: torch.dtype, skip: int, max_tokens: int | None) -> None:
    for branch in (False, True):
        check_token_mean((5, 1, 2, 0, 3, 20, 0), 480, dtype, skip=skip, max_tokens=max_tokens, branch=branch)


@DTYPES
def test_mean_over_tokens_of_more_than_1024_residues(dtype: torch.dtype) -> None:
    for skip, max_tokens in ((1, 1024), (0, None)):
        check_token_mean((1100, 7), 32, dtype, skip=skip, max_tokens=max_tokens, branch=True)


def test_the_reference_of_the_mean_takes_the_tokens_it_should() -> None:
    tokens = torch.arange(12.0).repeat_interleave(4).reshape(12, 4) + torch.tensor([0.0, 1.0, 5.0, 9.0])
    tokens[:, 3] += torch.arange(12.0) ** 2
    normed = torch.nn.functional.layer_norm(tokens, (4,))
    zeros = torch.zeros(4)
    norm = NormParameters(weight=torch.ones(4), bias=zeros, eps=1e-5, deferred_bias=None)
    cu_seqlens = torch.tensor([0, 6, 6, 11], dtype=torch.int32)
    result = layernorm_mean_reference(tokens, None, norm, cu_seqlens, TokenRange(1, 1, 3))
    torch.testing.assert_close(result[0], normed[1:4].mean(0))
    torch.testing.assert_close(result[1], zeros)
    torch.testing.assert_close(result[2], normed[7:10].mean(0))
