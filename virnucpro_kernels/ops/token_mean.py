"""The last LayerNorm and the mean over each sequence's tokens, in one pass and in fp32."""

from __future__ import annotations

from typing import NamedTuple

import torch

from virnucpro_kernels.ops import dispatch
from virnucpro_kernels.ops.configs import KernelConfig
from virnucpro_kernels.ops.jit import jit, tl
from virnucpro_kernels.ops.layernorm import NormParameters, normalized_sum
from virnucpro_kernels.ops.rows import add_rows, load_row, main_block, normalize_row, store_row, tail_block


@jit
def layernorm_mean_kernel(
    out_ptr: tl.tensor,
    residual_ptr: tl.tensor,
    branch_ptr: tl.tensor,
    bias_ptr: tl.tensor,
    weight_ptr: tl.tensor,
    ln_bias_ptr: tl.tensor,
    cu_seqlens_ptr: tl.tensor,
    eps: tl.tensor,
    width: tl.constexpr,
    skip_first: tl.constexpr,
    skip_last: tl.constexpr,
    max_tokens: tl.constexpr,
    stages: tl.constexpr,
) -> None:
    """`layernorm_mean` of one sequence in each program: the order of its sum depends on that sequence alone."""
    sequence = tl.program_id(0)
    first = tl.load(cu_seqlens_ptr + sequence) + skip_first
    end = tl.maximum(tl.load(cu_seqlens_ptr + sequence + 1) - skip_last, first)
    if max_tokens is not None:
        end = tl.minimum(end, first + max_tokens)
    sums = tl.tuple((tl.zeros([main_block(width)], tl.float32),))
    if tail_block(width) != 0:
        sums += (tl.zeros([tail_block(width)], tl.float32),)
    for token in tl.range(first, end, num_stages=stages):
        at = tl.cast(token, tl.int64) * width
        blocks = load_row(residual_ptr + at, width)
        if branch_ptr is not None:
            blocks = add_rows(blocks, load_row(branch_ptr + at, width), width)
        if bias_ptr is not None:
            blocks = add_rows(blocks, load_row(bias_ptr, width), width)
        sums = add_rows(sums, normalize_row(blocks, weight_ptr, ln_bias_ptr, eps, width), width)
    factor = 1.0 / tl.maximum(end - first, 1).to(tl.float32)
    means = tl.tuple((sums[0] * factor,))
    if tail_block(width) != 0:
        means += (sums[1] * factor,)
    store_row(out_ptr + sequence.to(tl.int64) * width, means, width)


class TokenRange(NamedTuple):
    """Tokens of a sequence over which the mean is taken.

    Attributes:
        skip_first: Number of tokens left out at the beginning.
        skip_last: Number of tokens left out at the end.
        max_tokens: Largest number of tokens taken after the skipped ones; None takes all.
    """

    skip_first: int
    skip_last: int
    max_tokens: int | None


def layernorm_mean_reference(
    residual: torch.Tensor,
    branch: torch.Tensor | None,
    norm: NormParameters,
    cu_seqlens: torch.Tensor,
    chosen: TokenRange,
) -> torch.Tensor:
    """`layernorm_mean` in plain PyTorch."""
    normed = normalized_sum(residual, branch, norm)
    start = cu_seqlens[:-1].long() + chosen.skip_first
    count = (cu_seqlens[1:].long() - chosen.skip_last - start).clamp_min(0)
    if chosen.max_tokens is not None:
        count = count.clamp_max(chosen.max_tokens)
    token = torch.arange(len(residual), device=residual.device)
    sequence = torch.searchsorted(cu_seqlens[1:].long(), token, right=True).clamp_max(len(count) - 1)
    rank = token - start[sequence]
    taken = (rank >= 0) & (rank < count[sequence])
    sums = torch.zeros(len(count), residual.shape[1], dtype=torch.float32, device=residual.device)
    sums.index_add_(0, sequence[taken], normed[taken])
    return sums / count.clamp_min(1).unsqueeze(1)


def layernorm_mean(
    residual: torch.Tensor,
    branch: torch.Tensor | None,
    norm: NormParameters,
    cu_seqlens: torch.Tensor,
    chosen: TokenRange,
    *,
    config: KernelConfig | None = None,
) -> torch.Tensor:
    """Mean over each sequence's chosen tokens of LayerNorm(residual + branch + deferred bias), all in fp32.

    Args:
        residual: Residual stream, (T, d) fp32, fp16 or bf16.
        branch: Branch to add to the residual, (T, d) of any floating type, or None.
        norm: Parameters of the LayerNorm.
        cu_seqlens: First token of each sequence and the total, int32 (B + 1,); repeated offsets are empty sequences.
        chosen: Tokens to take of each sequence.
        config: Launch configurations of our kernels, see `dispatch.resolve_kernels`.

    Returns:
        fp32 (B, d); zeros for a sequence without a chosen token.
    """
    launches = dispatch.resolve_kernels(residual.device, config)
    if launches is None:
        return layernorm_mean_reference(residual, branch, norm, cu_seqlens, chosen)
    launch = launches.token_mean
    sequences, width = len(cu_seqlens) - 1, residual.shape[1]
    out = torch.empty(sequences, width, dtype=torch.float32, device=residual.device)
    layernorm_mean_kernel[(sequences,)](
        out, residual, branch, norm.deferred_bias, norm.weight, norm.bias, cu_seqlens, norm.eps,
        width=width, **chosen._asdict(), stages=launch.stages, num_warps=launch.warps,
    )  # fmt: skip
    return out
