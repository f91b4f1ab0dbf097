"""The last LayerNorm and the mean over each sequence's tokens, in one pass and in fp32."""

from __future__ import annotations

import torch
from torch.nn import functional

from virnucpro_kernels.ops import dispatch


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
) -> torch.Tensor:
    """Mean over each sequence's chosen tokens of LayerNorm(residual + branch + bias); all arithmetic in fp32.

    ESM-2 leaves out `<cls>` and `<eos>` and takes the first 1024 residues: skip_first=1, skip_last=1, max_tokens=1024.
    DNABERT-S takes all tokens: 0, 0, None.

    :param residual, branch, bias, weight, ln_bias, eps: as in `residual_layernorm`.
    :param cu_seqlens: int32 (B + 1,) first token of each sequence and the total; repeated offsets are empty sequences.
    :param skip_first, skip_last: tokens left out at either end of each sequence.
    :param max_tokens: at most so many tokens after the skipped ones; None for all.
    :param kernels: see `dispatch.resolve_kernels`.
    :return: fp32 (B, d); zeros for a sequence without a chosen token.
    """
    dispatch.resolve_kernels(kernels, residual.device)
    return layernorm_mean_reference(
        residual, branch, bias, weight, ln_bias, eps, cu_seqlens,
        skip_first=skip_first, skip_last=skip_last, max_tokens=max_tokens,
    )  # fmt: skip
