"""The kernels on a GPU, in every precision and at the sizes of the models."""

from dataclasses import replace

import pytest
import torch

from tests.helpers.kernel_checks import (
    DEVICE,
    AttentionCase,
    assert_as_good,
    check_attention,
    check_attention_fp8,
    check_bias_gelu,
    check_bias_gelu_fp8,
    check_glu,
    check_layernorm,
    check_layernorm_fp8,
    check_linear_gelu,
    check_token_mean,
    error,
    plain,
    random,
)
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.ops.attention import varlen_attention, varlen_attention_reference
from virnucpro_kernels.ops.configs import AMPERE, HOPPER, AttentionLaunch, KernelConfig, ResidentLaunch, kernel_config
from virnucpro_kernels.ops.dispatch import resolve_attention, resolve_kernels
from virnucpro_kernels.ops.linear import linear, linear_add
from virnucpro_kernels.ops.linear_gelu import linear_gelu
from virnucpro_kernels.ops.quantize import quantize_rows

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(DEVICE.type != "cuda", reason="needs an NVIDIA GPU")]

SIXTEEN_BIT = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=["fp32", "fp16", "bf16"])
ONE_KERNEL = pytest.mark.skipif(
    kernel_config(DEVICE).linear_gelu is None, reason="cuBLAS and a GELU behind it on this GPU"
)
BORDERS = (1, 2, 31, 32, 33, 0, 63, 64, 65, 127, 128, 129, 168, 191, 192, 193, 0, 0)
LONG = (256, 257, 320, 321, 384, 385, 1023, 1024, 1025, 1400, 5)


def stream(block: int, *, stages: int, warps: int = 4, registers: int | None = None) -> KernelConfig:
    return replace(HOPPER, attention=AttentionLaunch(block=block, warps=warps, stages=stages, registers=registers))


def resident(block: int, *launches: ResidentLaunch) -> KernelConfig:
    overlapped = HOPPER.attention.overlapped and kernel_config(DEVICE) is HOPPER
    return replace(HOPPER, attention=AttentionLaunch(block=block, resident=launches, overlapped=overlapped))


@DTYPES
@pytest.mark.parametrize("alibi", [False, True], ids=["rope", "alibi"])
@pytest.mark.parametrize("lengths", [BORDERS, LONG], ids=["borders", "long"])
def test_attention(dtype: torch.dtype, alibi: bool, lengths: tuple[int, ...]) -> None:
    check_attention(AttentionCase(lengths, heads=5, alibi=alibi), dtype)


@DTYPES
@pytest.mark.parametrize("head_dim", [16, 24, 32, 128])
def test_attention_head_dimensions(dtype: torch.dtype, head_dim: int) -> None:
    check_attention(AttentionCase((1, 64, 65, 0, 170, 250, 350, 500), heads=3, head_dim=head_dim), dtype)


@SIXTEEN_BIT
@pytest.mark.parametrize(
    "config",
    [
        AMPERE,
        stream(64, stages=1),
        stream(64, stages=3, registers=168),
        stream(32, stages=2, warps=2),
        resident(64, *[ResidentLaunch(64)] * 6),
        resident(64, *[ResidentLaunch(128, warps=8)] * 6),
        resident(32, *[ResidentLaunch(None, warps=2)] * 4),
    ],
    ids=["ampere", "stream-1", "stream-3", "stream-32", "loop", "wide", "unrolled-32"],
)
def test_attention_launched_in_other_ways(dtype: torch.dtype, config: KernelConfig) -> None:
    check_attention(AttentionCase(BORDERS + LONG[:7], heads=3), dtype, config=config)


@SIXTEEN_BIT
def test_attention_at_the_size_of_a_batch(dtype: torch.dtype) -> None:
    """Enough programs to fill the GPU: races show up here or nowhere."""
    for lengths in ((168,) * 60, (52,) * 200, tuple(range(40, 350, 7))):
        check_attention(AttentionCase(lengths, heads=40), dtype)


def test_attention_behind_two_thousand_million_numbers() -> None:
    lengths = (168,) * 1700
    case = AttentionCase(lengths, heads=40)
    qkv = torch.zeros(sum(lengths), 3, 40, 64, dtype=torch.float16, device=DEVICE)
    last = AttentionCase((168,), heads=40, padding_tokens=0)
    qkv[-168:] = last.qkv(torch.float16)
    assert qkv.numel() > 2**31
    result = plain(varlen_attention(qkv, **case.arguments(), backend="triton"))
    alone = plain(varlen_attention(last.qkv(torch.float16), **last.arguments(), backend="triton"))
    assert torch.equal(result[-168:], alone)


def test_attention_repeats_itself() -> None:
    case = AttentionCase((168, 52, 300, 1100), heads=40)
    first, *others = (
        plain(varlen_attention(case.qkv(torch.float16), **case.arguments(), backend="triton"))[: sum(case.lengths)]
        for _ in range(20)
    )
    assert all(torch.equal(first, other) for other in others)


@SIXTEEN_BIT
def test_attention_to_fp8(dtype: torch.dtype) -> None:
    check_attention_fp8(AttentionCase((*BORDERS, 500), heads=3), dtype)


@SIXTEEN_BIT
@pytest.mark.parametrize("backend", ["flash", "flash-attn", "sdpa"])
def test_other_attention_backends(dtype: torch.dtype, backend: str) -> None:
    if backend == "flash-attn":
        pytest.importorskip("flash_attn")
        check_attention(AttentionCase(BORDERS, heads=5, alibi=True), dtype, backend=backend)
    check_attention(AttentionCase(BORDERS, heads=5), dtype, backend=backend)


def test_backends_that_cannot_run_are_refused() -> None:
    with pytest.raises(UsageError, match="lacks the ALiBi"):
        resolve_attention("flash", device=DEVICE, dtype=torch.float16, head_dim=64, alibi=True)
    with pytest.raises(UsageError, match="fp16 and bf16 only"):
        resolve_attention("flash", device=DEVICE, dtype=torch.float32, head_dim=64, alibi=False)


def test_a_gpu_runs_our_kernels() -> None:
    assert resolve_attention("auto", device=DEVICE, dtype=torch.float16, head_dim=64, alibi=True) == "triton"
    assert resolve_kernels(DEVICE, None) == kernel_config(DEVICE)


@DTYPES
@pytest.mark.parametrize("width", [320, 480, 640, 768, 1280, 2560, 5120])
def test_layernorm(width: int, dtype: torch.dtype) -> None:
    for rows in (1, 3, 1001):
        check_layernorm(rows, width, dtype, branch=False, bias=True)
        check_layernorm(rows, width, dtype, branch=True, bias=True)
    check_layernorm_fp8(1001, width, dtype)


@DTYPES
@pytest.mark.parametrize("width", [1280, 1920, 10240])
def test_activations(width: int, dtype: torch.dtype) -> None:
    for rows in (1, 3, 1001):
        check_bias_gelu(rows, width, dtype, in_place=rows == 3)
        check_glu(rows, width, dtype)
    check_bias_gelu_fp8(1001, width, dtype)


@DTYPES
def test_mean_over_tokens(dtype: torch.dtype) -> None:
    for branch in (False, True):
        check_token_mean((*BORDERS, 1400), 2560, dtype, skip=1, max_tokens=1024, branch=branch)
        check_token_mean((*BORDERS, 1400), 768, dtype, skip=0, max_tokens=None, branch=branch)


@ONE_KERNEL
@SIXTEEN_BIT
@pytest.mark.parametrize(("inputs", "width"), [(72, 264), (320, 1280), (480, 1920), (2560, 10240)])
def test_linear_gelu(dtype: torch.dtype, inputs: int, width: int) -> None:
    for rows in (1, 127, 1001, 16_896):
        check_linear_gelu(rows, inputs, width, dtype)


@ONE_KERNEL
def test_linear_gelu_of_what_fp16_cannot_hold() -> None:
    """GELU makes zeros of products far below zero, and infinities of those far above stay so, for the engine to see."""
    x, bias = torch.full((3, 64), 200.0, dtype=torch.float16, device=DEVICE), torch.zeros(64, device=DEVICE)
    weight = torch.full((64, 64), -100.0, dtype=torch.float16, device=DEVICE)
    assert (plain(linear_gelu(x, weight, bias)) == 0).all()
    assert (plain(linear_gelu(x, -weight, bias)) == torch.inf).all()


@ONE_KERNEL
def test_linear_gelu_repeats_itself() -> None:
    x, weight = random(16_896, 2560, seed=1).half(), random(10_240, 2560, seed=2, scale=0.03).half()
    bias = random(10_240, seed=3).half()
    first, *others = (plain(linear_gelu(x, weight, bias)) for _ in range(10))
    assert all(torch.equal(first, other) for other in others)


@SIXTEEN_BIT
def test_products(dtype: torch.dtype) -> None:
    x, weight = random(700, 1280, seed=1).to(dtype), random(640, 1280, seed=2, scale=0.03).to(dtype)
    bias, residual = random(640, seed=3).to(dtype), random(700, 640, seed=4).to(dtype)
    exact = torch.addmm(bias.double(), x.double(), weight.double().t())
    assert_as_good(linear(x, weight, bias), exact.to(dtype), exact)
    exact = torch.addmm(residual.double(), x.double(), weight.double().t())
    assert linear_add(x, weight, residual) is None
    assert error(residual, exact) < 3 * error(exact.to(dtype), exact)


@pytest.mark.skipif(
    DEVICE.type == "cuda" and torch.cuda.get_device_capability() < (8, 9), reason="needs compute capability 8.9"
)
@pytest.mark.parametrize("with_bias", [False, True])
def test_fp8_product(with_bias: bool) -> None:
    x, weight = quantize_rows(random(700, 1280, seed=1)), quantize_rows(random(640, 1280, seed=2, scale=0.03))
    bias = random(640, seed=3).bfloat16() if with_bias else None
    exact = x.dequantize(torch.float64) @ weight.dequantize(torch.float64).t()
    exact += bias if bias is not None else 0
    assert error(linear(x, weight, bias), exact) < 2 * error(exact.bfloat16(), exact) + 5e-3


def test_reference_on_a_gpu_is_the_reference_on_a_cpu() -> None:
    case = AttentionCase((1, 64, 65, 0, 168), heads=3)
    arguments, host = case.arguments(), case.arguments()
    rope = host["parameters"].rope
    assert rope is not None
    host["parameters"] = host["parameters"]._replace(rope=(rope[0].cpu(), rope[1].cpu()))
    host["batch"] = host["batch"].to("cpu")
    qkv = case.qkv(torch.float32)
    ours = plain(varlen_attention_reference(qkv, **arguments))
    theirs = plain(varlen_attention_reference(qkv.cpu(), **host))
    assert error(ours.cpu(), theirs) < 1e-5
