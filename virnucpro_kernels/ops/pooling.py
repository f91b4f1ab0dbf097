"""The last LayerNorm and the mean over each sequence's tokens, in one pass and in fp32."""

from __future__ import annotations

import torch
from torch.nn import functional

from virnucpro_kernels.ops import dispatch
from virnucpro_kernels.ops.configs import KernelConfig, kernel_config
from virnucpro_kernels.ops.jit import jit, tl
from virnucpro_kernels.ops.rows import add_rows, load_row, normalize_row, row_blocks, store_row


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
    head: tl.constexpr,
    tail: tl.constexpr,
    skip_first: tl.constexpr,
    skip_last: tl.constexpr,
    max_tokens: tl.constexpr,
    stages: tl.constexpr,
) -> None:
    """One sequence a program: the order of its sum depends on nothing but itself."""
    sequence = tl.program_id(0)
    first = tl.load(cu_seqlens_ptr + sequence) + skip_first
    end = tl.maximum(tl.load(cu_seqlens_ptr + sequence + 1) - skip_last, first)
    if max_tokens is not None:
        end = tl.minimum(end, first + max_tokens)
    sums = tl.tuple((tl.zeros([head], tl.float32),))
    if tail != 0:
        sums += (tl.zeros([tail], tl.float32),)
    for token in tl.range(first, end, num_stages=stages):
        at = tl.cast(token, tl.int64) * width
        blocks = load_row(residual_ptr + at, width, head, tail)
        if branch_ptr is not None:
            blocks = add_rows(blocks, load_row(branch_ptr + at, width, head, tail), tail)
        if bias_ptr is not None:
            blocks = add_rows(blocks, load_row(bias_ptr, width, head, tail), tail)
        sums = add_rows(sums, normalize_row(blocks, weight_ptr, ln_bias_ptr, eps, width, head, tail), tail)
    share = 1.0 / tl.maximum(end - first, 1).to(tl.float32)
    means = tl.tuple((sums[0] * share,))
    if tail != 0:
        means += (sums[1] * share,)
    store_row(out_ptr + sequence.to(tl.int64) * width, means, width, head, tail)


def layernorm_mean_reference(
    residual: torch.Tensor,
    branch: torch.Tensor | None,
    bias: torch.Tensor | None,
    weight: torch.Tensor,
    ln_bias: torch.Tensor,
    eps: float,
    cu_seqlens: torch.Tensor,
    *,
    skip_first: int,
    skip_last: int,
    max_tokens: int | None,
) -> torch.Tensor:
    """`layernorm_mean` in plain PyTorch."""
    total = residual.float()
    if branch is not None:
        total = total + branch.float()
    if bias is not None:
        total = total + bias.float()
    normed = functional.layer_norm(total, total.shape[-1:], weight.float(), ln_bias.float(), eps)
    start = cu_seqlens[:-1].long() + skip_first
    count = (cu_seqlens[1:].long() - skip_last - start).clamp_min(0)
    if max_tokens is not None:
        count = count.clamp_max(max_tokens)
    token = torch.arange(len(residual), device=residual.device)
    sequence = torch.searchsorted(cu_seqlens[1:].long(), token, right=True).clamp_max(len(count) - 1)
    rank = token - start[sequence]
    chosen = (rank >= 0) & (rank < count[sequence])
    sums = torch.zeros(len(count), residual.shape[1], dtype=torch.float32, device=residual.device)
    sums.index_add_(0, sequence[chosen], normed[chosen])
    return sums / count.clamp_min(1).unsqueeze(1)


def layernorm_mean(
    residual: torch.Tensor,
    branch: torch.Tensor | None,
    bias: torch.Tensor | None,
    weight: torch.Tensor,
    ln_bias: torch.Tensor,
    eps: float,
    cu_seqlens: torch.Tensor,
    *,
    skip_first: int,
    skip_last: int,
    max_tokens: int | None,
    kernels: str = "auto",
    config: KernelConfig | None = None,
) -> torch.Tensor:
    """Mean over each sequence's chosen tokens of LayerNorm(residual + branch + bias); all arithmetic in fp32.

    ESM-2 leaves out `<cls>` and `<eos>` and takes the first 1024 residues: skip_first=1, skip_last=1, max_tokens=1024.
    DNABERT-S takes all tokens: 0, 0, None.

    :param residual, branch, bias, weight, ln_bias, eps: as in `residual_layernorm`.
    :param cu_seqlens: int32 (B + 1,) first token of each sequence and the total; repeated offsets are empty sequences.
    :param skip_first, skip_last: tokens left out at either end of each sequence.
    :param max_tokens: at most so many tokens after the skipped ones; None for all.
    :param kernels: see `dispatch.resolve_kernels`; config: how our kernels cut the work, None for what was tuned.
    :return: fp32 (B, d); zeros for a sequence without a chosen token.
    """
    if dispatch.resolve_kernels(kernels, residual.device) == "torch":
        return layernorm_mean_reference(
            residual, branch, bias, weight, ln_bias, eps, cu_seqlens,
            skip_first=skip_first, skip_last=skip_last, max_tokens=max_tokens,
        )  # fmt: skip
    cut = (config or kernel_config(residual.device)).pooling
    sequences, width = len(cu_seqlens) - 1, residual.shape[1]
    out = torch.empty(sequences, width, dtype=torch.float32, device=residual.device)
    layernorm_mean_kernel[(sequences,)](
        out, residual, branch, bias, weight, ln_bias, cu_seqlens, eps,
        **row_blocks(width), skip_first=skip_first, skip_last=skip_last, max_tokens=max_tokens,
        stages=cut.stages, num_warps=cut.warps,
    )  # fmt: skip
    return out
