"""LayerNorm, GELU, GLU and pooling, in Triton's interpreter, against the plain implementations."""

from dataclasses import replace

import pytest
import torch
from kernel_checks import (
    DEVICE,
    check_activation_fp8,
    check_bias_gelu,
    check_glu,
    check_layernorm,
    check_layernorm_fp8,
    check_linear_gelu,
    check_pooling,
)

from virnucpro_kernels.ops.configs import HOPPER, ProductConfig, TileConfig
from virnucpro_kernels.ops.gelu import bias_gelu
from virnucpro_kernels.ops.pooling import layernorm_mean_reference

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=["fp32", "fp16"])


@DTYPES
@pytest.mark.parametrize("width", [32, 320, 480, 768, 1280, 2560])
def test_layernorm(width: int, dtype: torch.dtype) -> None:
    for rows in (1, 5):
        check_layernorm(rows, width, dtype, branch=False, bias=True)
        check_layernorm(rows, width, dtype, branch=True, bias=False)


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
    small = ProductConfig(rows=16, columns=32, depth=16, warps=4, stages=2, group=3)
    check_linear_gelu(130, 72, 264, torch.float16, config=replace(HOPPER, linear_gelu=small))


@pytest.mark.parametrize(("inputs", "width", "dtype"), [(64, 96, torch.float32), (60, 96, torch.float16)], ids=str)
def test_linear_gelu_where_the_kernel_cannot_run(inputs: int, width: int, dtype: torch.dtype) -> None:
    check_linear_gelu(7, inputs, width, dtype)


@DTYPES
@pytest.mark.parametrize("width", [96, 3072])
def test_glu(width: int, dtype: torch.dtype) -> None:
    check_glu(1, width, dtype)
    check_glu(7, width, dtype, config=replace(HOPPER, activation=TileConfig(rows=2, columns=256, warps=4)))


@pytest.mark.parametrize("width", [96, 3072])
def test_activations_to_fp8(width: int) -> None:
    check_activation_fp8(5, width, torch.float16)


def test_gelu_over_the_whole_range() -> None:
    x = torch.cat((torch.linspace(-12, 12, 4801), torch.tensor([-6e4, -100.0, 100.0, 6e4]))).half().to(DEVICE)
    exact = torch.nn.functional.gelu(x.double())
    result = bias_gelu(x.unsqueeze(0), None, kernels="triton")[0].double()
    rounding = torch.exp2(torch.floor(torch.log2(exact.abs().clamp_min(2**-14))) - 11)
    assert ((result - exact).abs() <= rounding * 1.001 + 2.5e-7).all()


@DTYPES
@pytest.mark.parametrize(("skip", "max_tokens"), [(1, 8), (0, None)], ids=["esm2", "dnabert"])
def test_pooling(dtype: torch.dtype, skip: int, max_tokens: int | None) -> None:
    for branch in (False, True):
        check_pooling((5, 1, 2, 0, 3, 20, 0), 480, dtype, skip=skip, max_tokens=max_tokens, branch=branch)


def test_pooling_reference_takes_the_tokens_it_should() -> None:
    tokens = torch.arange(12.0).repeat_interleave(4).reshape(12, 4) + torch.tensor([0.0, 1.0, 5.0, 9.0])
    tokens[:, 3] += torch.arange(12.0) ** 2
    normed = torch.nn.functional.layer_norm(tokens, (4,))
    ones, zeros = torch.ones(4), torch.zeros(4)
    cu_seqlens = torch.tensor([0, 6, 6, 11], dtype=torch.int32)
    result = layernorm_mean_reference(
        tokens, None, None, ones, zeros, 1e-5, cu_seqlens, skip_first=1, skip_last=1, max_tokens=3
    )
    torch.testing.assert_close(result[0], normed[1:4].mean(0))
    torch.testing.assert_close(result[1], zeros)
    torch.testing.assert_close(result[2], normed[7:10].mean(0))
