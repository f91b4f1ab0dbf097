"""Our attention, in Triton's interpreter, against the plain implementation; and that implementation itself."""

from dataclasses import replace

import pytest
import torch

from tests.helpers.kernel_checks import DEVICE, AttentionCase, check_attention, check_attention_fp8, plain
from virnucpro_kernels.ops.attention import AttentionParameters, varlen_attention, varlen_attention_reference
from virnucpro_kernels.ops.configs import HOPPER, AttentionLaunch, KernelConfig, ResidentLaunch
from virnucpro_kernels.ops.packing import batch_of


def launches(*queries: int | None) -> KernelConfig:
    """Small tiles, so that short sequences reach every path; `queries` of sequences of 1, 2, … tiles."""
    attention = AttentionLaunch(block=16, resident=tuple(ResidentLaunch(number) for number in queries))
    return replace(HOPPER, attention=attention, attention_fp32=attention)


UNROLLED = launches(None, None, None, None)
RESIDENT = launches(16, 16, 16, 16)
STREAMED = launches()
MIXED = launches(None, 16, 32)
BORDERS = (15, 1, 16, 0, 17, 32, 33, 47, 64, 2, 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=["fp32", "fp16"])
@pytest.mark.parametrize(
    "config", [UNROLLED, RESIDENT, STREAMED, MIXED], ids=["unrolled", "resident", "streamed", "mixed"]
)
@pytest.mark.parametrize("alibi", [False, True], ids=["rope", "alibi"])
def test_tile_borders(dtype: torch.dtype, config: KernelConfig, alibi: bool) -> None:
    check_attention(AttentionCase(BORDERS, heads=1, head_dim=32, alibi=alibi), dtype, config=config)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=["fp32", "fp16"])
@pytest.mark.parametrize("head_dim", [16, 24, 32, 64, 128])
def test_head_dimensions(dtype: torch.dtype, head_dim: int) -> None:
    for alibi in (False, True):
        check_attention(AttentionCase((5, 0, 65), head_dim=head_dim, alibi=alibi), dtype)


@pytest.mark.parametrize(
    "lengths", [(1,), (1, 0, 2, 0), (63, 64, 65), (127, 128, 129, 192), (191, 193, 385), (255, 319, 383)], ids=str
)
def test_lengths_with_the_tiles_of_a_gpu(lengths: tuple[int, ...]) -> None:
    check_attention(AttentionCase(lengths, heads=1), torch.float16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=["fp32", "fp16"])
@pytest.mark.parametrize("alibi", [False, True], ids=["rope", "alibi"])
def test_a_sequence_of_more_than_1024_tokens(dtype: torch.dtype, alibi: bool) -> None:
    check_attention(AttentionCase((1030, 7), heads=1, alibi=alibi), dtype)


@pytest.mark.parametrize("config", [UNROLLED, RESIDENT, STREAMED], ids=["unrolled", "resident", "streamed"])
def test_fp8_output(config: KernelConfig) -> None:
    check_attention_fp8(AttentionCase((1, 16, 0, 50), head_dim=24), torch.float16, config=config)


@pytest.mark.parametrize("config", [UNROLLED, STREAMED], ids=["unrolled", "streamed"])
def test_a_result_does_not_depend_on_the_rest_of_the_batch(config: KernelConfig) -> None:
    alone = AttentionCase((40,), heads=1, head_dim=16, padding_tokens=0)
    together = AttentionCase((7, 40, 20), heads=1, head_dim=16)
    qkv = together.qkv(torch.float16)
    qkv[7:47] = alone.qkv(torch.float16)
    one = plain(varlen_attention(alone.qkv(torch.float16), **alone.arguments(), backend="triton", config=config))
    three = plain(varlen_attention(qkv, **together.arguments(), backend="triton", config=config))
    assert torch.equal(three[7:47], one)


def test_reference_is_softmax_attention_of_rotated_vectors() -> None:
    case = AttentionCase((9, 4), heads=2, head_dim=16, padding_tokens=0)
    arguments, qkv = case.arguments(), case.qkv(torch.float32).double()
    rope = arguments["parameters"].rope
    assert rope is not None
    cos, sin = (table.double() for table in rope)
    expected = []
    for start, length in ((0, 9), (9, 4)):
        query, key, value = qkv[start : start + length].unbind(1)
        turn = torch.complex(cos[:length], sin[:length]).unsqueeze(1)
        query, key = (torch.complex(*x.chunk(2, dim=-1)) * turn for x in (query, key))
        scores = torch.einsum("qhc,khc->hqk", query, key.conj()).real * arguments["parameters"].scale
        expected.append(torch.einsum("hqk,khd->qhd", scores.softmax(-1), value).flatten(1))
    result = plain(varlen_attention_reference(qkv.float(), **arguments))
    torch.testing.assert_close(result, torch.cat(expected).float(), rtol=1e-5, atol=1e-6)


def test_reference_with_alibi_prefers_near_tokens() -> None:
    qkv = torch.zeros(5, 3, 1, 16)
    qkv[:, 2, 0, 0] = torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0])
    batch = batch_of([5], torch.device("cpu"))
    result = plain(varlen_attention_reference(qkv, batch, AttentionParameters(1.0, alibi_slopes=torch.ones(1))))
    weights = torch.exp(-(torch.arange(5.0).unsqueeze(1) - torch.arange(5.0)).abs())
    torch.testing.assert_close(result[:, 0], weights[:, 2] / weights.sum(1))


def test_tables_that_are_too_short_are_refused() -> None:
    case = AttentionCase((9,))
    arguments = case.arguments()
    rope = arguments["parameters"].rope
    assert rope is not None
    arguments["parameters"] = arguments["parameters"]._replace(rope=(rope[0][:8], rope[1][:8]))
    with pytest.raises(ValueError, match="8 positions for 9 tokens"):
        varlen_attention(case.qkv(torch.float32), **arguments)


def test_rope_and_alibi_together_are_refused() -> None:
    case = AttentionCase((9,))
    arguments = case.arguments()
    arguments["parameters"] = arguments["parameters"]._replace(alibi_slopes=torch.ones(2, device=DEVICE))
    with pytest.raises(ValueError, match="not both"):
        varlen_attention(case.qkv(torch.float32), **arguments)


@pytest.mark.parametrize("alibi", [False, True], ids=["rope", "alibi"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_runs_of_equal_length_are_attended_together(dtype: torch.dtype, alibi: bool) -> None:
    case = AttentionCase((5, 5, 0, 9, 5, 1, 1, 0), heads=2, head_dim=16, alibi=alibi)
    arguments = case.arguments()
    expected = plain(varlen_attention_reference(case.qkv(dtype).float(), **arguments))
    result = plain(varlen_attention(case.qkv(dtype), **arguments, backend="sdpa"))
    assert result.dtype == dtype
    torch.testing.assert_close(
        result[:26].float(), expected[:26], atol=1e-6 if dtype == torch.float32 else 0.01, rtol=0
    )
