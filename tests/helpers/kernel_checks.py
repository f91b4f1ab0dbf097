"""Checks of the kernels against their references, for Triton's interpreter (CPU) and for a GPU alike.

A 16-bit result is held against the error that the plain PyTorch implementation of the same precision makes itself,
measured against fp32: at most twice that. An fp32 result may differ by a few roundings.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypedDict

import torch

from virnucpro_kernels.ops.attention import AttentionParameters, varlen_attention, varlen_attention_reference
from virnucpro_kernels.ops.configs import KernelConfig, kernel_config
from virnucpro_kernels.ops.gelu import bias_gelu, bias_gelu_reference, glu, glu_reference
from virnucpro_kernels.ops.layernorm import NormParameters, residual_layernorm, residual_layernorm_reference
from virnucpro_kernels.ops.linear_gelu import linear_gelu, linear_gelu_reference, one_kernel
from virnucpro_kernels.ops.packing import PackedBatch, batch_of
from virnucpro_kernels.ops.quantize import Operand, RowScaled, quantize_columns
from virnucpro_kernels.ops.token_mean import TokenRange, layernorm_mean, layernorm_mean_reference

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
FP32_ERROR = 5e-6
#: Launches of our kernels: given them, an operation runs its kernel, on a CPU in the interpreter.
CONFIG = kernel_config(DEVICE)


def random(*shape: int, seed: int, scale: float = 1.0) -> torch.Tensor:
    """Fixed normal numbers, fp32."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).mul_(scale).to(DEVICE)


def poison(like: torch.Tensor) -> None:
    """Leave NaN in the memory that the next tensor of this size gets, so that an element never written is noticed."""
    torch.full_like(like, float("nan"))


def plain(operand: Operand) -> torch.Tensor:
    """A result that is not fp8."""
    assert isinstance(operand, torch.Tensor)
    return operand


def row_scaled(operand: Operand) -> RowScaled:
    """A result that is fp8."""
    assert isinstance(operand, RowScaled)
    return operand


def error(result: torch.Tensor, exact: torch.Tensor) -> float:
    assert torch.isfinite(result).all()
    return float((result.double() - exact.double()).norm() / exact.double().norm().clamp_min(1e-30))


def assert_as_good(result: torch.Tensor, reference: torch.Tensor, exact: torch.Tensor) -> None:
    """`result` is as near to `exact` (fp32) as `reference`, of the same precision, can be expected to be."""
    assert result.dtype == reference.dtype
    assert result.shape == reference.shape
    if result.dtype == torch.float32:
        assert error(result, exact) < FP32_ERROR
        return
    assert error(result, exact) <= 2 * error(reference, exact)
    worst = (reference.double() - exact.double()).abs().max()
    assert (result.double() - exact.double()).abs().max() <= 3 * worst


def _code(values: torch.Tensor) -> torch.Tensor:
    """Rank of each fp8 number among all of them."""
    bits = values.view(torch.uint8).int()
    return torch.where(bits < 128, bits, 128 - bits)


def assert_within_one_code(result: RowScaled, reference: RowScaled) -> None:
    """Each value is the reference's fp8 number or a neighbour of it.

    Triton's interpreter loses the carry where a number is rounded up to a power of two, and returns half of it, which
    is a power of two as well.
    """
    torch.testing.assert_close(result.scale, reference.scale, rtol=1e-5, atol=0)
    theirs = _code(reference.values)
    near = (_code(result.values) - theirs).abs() <= 1
    if DEVICE.type == "cpu":
        ours = result.values.float()
        carried = (2 * ours).to(result.values.dtype)
        power = (torch.frexp(ours).mantissa.abs() == 0.5) & (ours.abs() <= 128)  # there is no 512
        near |= power & ((_code(carried) - theirs).abs() <= 1)
    assert near.all()


class AttentionArguments(TypedDict):
    """What `varlen_attention` takes besides queries, keys and values."""

    batch: PackedBatch
    parameters: AttentionParameters


@dataclass(frozen=True)
class AttentionCase:
    """Lengths of the sequences of a batch, and the sizes of the model."""

    lengths: tuple[int, ...]
    heads: int = 2
    head_dim: int = 64
    alibi: bool = False
    padding_tokens: int = 3

    def arguments(self) -> AttentionArguments:
        rope = slopes = None
        if self.alibi:
            slopes = torch.exp2(-torch.arange(1.0, self.heads + 1)).to(DEVICE)
        else:
            frequencies = 10000 ** -(torch.arange(0, self.head_dim, 2) / self.head_dim)
            angles = torch.outer(torch.arange(float(max(self.lengths))), frequencies)
            rope = (angles.cos().to(DEVICE), angles.sin().to(DEVICE))
        return {
            "batch": batch_of(self.lengths, DEVICE, padding_tokens=self.padding_tokens),
            "parameters": AttentionParameters(self.head_dim**-0.5, rope, slopes),
        }

    def qkv(self, dtype: torch.dtype) -> torch.Tensor:
        tokens = sum(self.lengths) + self.padding_tokens
        return random(tokens, 3, self.heads, self.head_dim, seed=sum(self.lengths)).to(dtype)


def check_attention(
    case: AttentionCase, dtype: torch.dtype, *, backend: str = "triton", config: KernelConfig = CONFIG
) -> None:
    arguments, qkv = case.arguments(), case.qkv(dtype)
    tokens = sum(case.lengths)
    exact = plain(varlen_attention_reference(qkv.float(), **arguments))
    reference = plain(varlen_attention_reference(qkv, **arguments))
    poison(qkv[:, 0])
    result = plain(varlen_attention(qkv.clone(), **arguments, backend=backend, config=config))
    assert_as_good(result[:tokens], reference[:tokens], exact[:tokens])


def check_attention_fp8(case: AttentionCase, dtype: torch.dtype, *, config: KernelConfig = CONFIG) -> None:
    """Compare with the kernel's own result in `dtype`, quantised afterwards."""
    arguments, qkv = case.arguments(), case.qkv(dtype)
    factors = random(case.heads * case.head_dim, seed=5).abs().mul(40).add(1)
    tokens = sum(case.lengths)
    unrounded = plain(varlen_attention(qkv.clone(), **arguments, backend="triton", config=config))
    arguments["parameters"] = arguments["parameters"]._replace(fp8_scale=factors)
    result = row_scaled(varlen_attention(qkv.clone(), **arguments, backend="triton", config=config))
    assert_within_one_code(
        RowScaled(result.values[:tokens], result.scale[:tokens]), quantize_columns(unrounded[:tokens], factors)
    )


class LayerNormInputs(NamedTuple):
    """What a LayerNorm of the residual stream takes."""

    residual: torch.Tensor
    branch: torch.Tensor | None
    norm: NormParameters


def layernorm_inputs(
    rows: int, width: int, dtype: torch.dtype, *, branch: torch.dtype | None, bias: bool = True
) -> LayerNormInputs:
    """Random inputs in which one channel is an outlier, as trained models have them."""
    residual = random(rows, width, seed=width)
    residual[:, width // 3] += 40
    return LayerNormInputs(
        residual.to(dtype),
        None if branch is None else random(rows, width, seed=1).to(branch),
        NormParameters(
            weight=random(width, seed=3, scale=0.2).add(1).to(dtype),
            bias=random(width, seed=4, scale=0.2).to(dtype),
            eps=1e-5,
            deferred_bias=random(width, seed=2, scale=0.3) if bias else None,
        ),
    )


def check_layernorm(
    rows: int, width: int, dtype: torch.dtype, *, branch: bool, bias: bool, config: KernelConfig = CONFIG
) -> None:
    residual, added, norm = layernorm_inputs(rows, width, dtype, branch=dtype if branch else None, bias=bias)
    ours, theirs, exactly = residual.clone(), residual.clone(), residual.float().clone()
    poison(residual)
    exactly_added = None if added is None else added.float()
    result = plain(residual_layernorm(ours, added, norm, update_residual=branch, config=config))
    reference = plain(residual_layernorm_reference(theirs, added, norm, update_residual=branch))
    exact = plain(residual_layernorm_reference(exactly, exactly_added, norm, update_residual=branch))
    assert_as_good(result, reference, exact)
    assert_as_good(ours, theirs, exactly)


def check_layernorm_fp8(rows: int, width: int, dtype: torch.dtype, *, config: KernelConfig = CONFIG) -> None:
    # An fp8 product returns a bf16 branch, whatever the residual stream is.
    ours, branch, norm = layernorm_inputs(rows, width, dtype, branch=torch.bfloat16)
    theirs = ours.clone()
    result = residual_layernorm(ours, branch, norm, update_residual=True, quantize=True, config=config)
    reference = residual_layernorm_reference(theirs, branch, norm, update_residual=True, quantize=True)
    assert_within_one_code(row_scaled(result), row_scaled(reference))
    assert torch.equal(ours, theirs)


def check_bias_gelu(
    rows: int, width: int, dtype: torch.dtype, *, in_place: bool, config: KernelConfig = CONFIG
) -> None:
    x, bias = random(rows, width, seed=1, scale=2).to(dtype), random(width, seed=2).to(dtype)
    given = x.clone()
    poison(x)
    result = plain(bias_gelu(given, bias, given if in_place else torch.empty_like(x), config=config))
    assert (result.data_ptr() == given.data_ptr()) == in_place
    exact = plain(bias_gelu_reference(x.float(), bias.float(), torch.empty_like(x, dtype=torch.float32)))
    assert_as_good(result, plain(bias_gelu_reference(x, bias, torch.empty_like(x))), exact)


def check_linear_gelu(rows: int, inputs: int, width: int, dtype: torch.dtype, *, config: KernelConfig = CONFIG) -> None:
    """Check that one kernel computes everything in fp32 and rounds only the result."""
    x = random(rows, inputs, seed=1).to(dtype)
    weight, bias = random(width, inputs, seed=2, scale=2 * inputs**-0.5).to(dtype), random(width, seed=3).to(dtype)
    exact = linear_gelu_reference(x.float(), weight.float(), bias.float())
    rounded = exact.to(dtype)
    assert one_kernel(x, weight, config=config)
    poison(rounded)
    result = plain(linear_gelu(x, weight, bias, config=config))
    assert result.dtype == dtype
    # The last digits of a sum depend on its order, and may take a result over the border between two 16-bit numbers.
    assert error(result, exact) < 1.05 * error(rounded, exact) + 2e-6


def check_glu(rows: int, width: int, dtype: torch.dtype, *, config: KernelConfig = CONFIG) -> None:
    x = random(rows, 2 * width, seed=1, scale=2).to(dtype)
    poison(x[:, :width])
    assert_as_good(glu(x, config=config), glu_reference(x), glu_reference(x.float()))


def check_bias_gelu_fp8(rows: int, width: int, dtype: torch.dtype, *, config: KernelConfig = CONFIG) -> None:
    x, bias = random(rows, width, seed=1, scale=2).to(dtype), random(width, seed=2).to(dtype)
    result = row_scaled(bias_gelu(x, bias, None, config=config))
    assert_within_one_code(result, row_scaled(bias_gelu_reference(x, bias, None)))


def check_token_mean(
    lengths: tuple[int, ...],
    width: int,
    dtype: torch.dtype,
    *,
    skip: int,
    max_tokens: int | None,
    branch: bool,
    config: KernelConfig = CONFIG,
) -> None:
    tokens = sum(lengths) + 3
    inputs = layernorm_inputs(tokens, width, dtype, branch=dtype if branch else None)
    cu_seqlens = batch_of(lengths, DEVICE).cu_seqlens
    chosen = TokenRange(skip, skip, max_tokens)
    result = layernorm_mean(*inputs, cu_seqlens=cu_seqlens, chosen=chosen, config=config)
    exact = layernorm_mean_reference(*inputs, cu_seqlens=cu_seqlens, chosen=chosen)
    assert result.dtype == torch.float32
    assert error(result, exact) < FP32_ERROR
    for index, length in enumerate(lengths):
        assert bool((result[index] == 0).all()) == (length <= 2 * skip)
