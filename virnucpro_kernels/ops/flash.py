"""FlashAttention, as bundled with torch or from the package flash-attn, behind the signature of our attention."""

from __future__ import annotations

import torch

from virnucpro_kernels.ops.rotary import Rope, rotate


def _rotated(qkv: torch.Tensor, cu_seqlens: torch.Tensor, rope: Rope) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries and keys (T, heads, D), rotated; positions are found on the device, so that nothing waits for it."""
    token = torch.arange(len(qkv), dtype=torch.int32, device=qkv.device)
    sequence = torch.searchsorted(cu_seqlens[1:], token, right=True, out_int32=True).clamp_max(len(cu_seqlens) - 2)
    position = (token - cu_seqlens[sequence]).clamp_max(len(rope[0]) - 1)  # padding may lie behind the tables
    cos, sin = rope[0][position], rope[1][position]
    return rotate(qkv[:, 0], cos, sin), rotate(qkv[:, 1], cos, sin)


def bundled_flash_attention(
    qkv: torch.Tensor, cu_seqlens: torch.Tensor, max_length: int, *, rope: Rope | None, scale: float
) -> torch.Tensor:
    """Attention by torch's own FlashAttention-2; see `attention.varlen_attention`. fp16 or bf16, no ALiBi."""
    query, key, value = qkv.unbind(1)
    if rope is not None:
        query, key = _rotated(qkv, cu_seqlens, rope)
    attended = torch.ops.aten._flash_attention_forward(
        query, key, value, cu_seqlens, cu_seqlens, max_length, max_length, 0.0, False, False, scale=scale
    )[0]
    return attended.flatten(1)  # type: ignore[no-any-return]


def flash_attn_attention(
    qkv: torch.Tensor,
    cu_seqlens: torch.Tensor,
    max_length: int,
    *,
    rope: Rope | None,
    alibi_slopes: torch.Tensor | None,
    scale: float,
) -> torch.Tensor:
    """Attention by the package flash-attn; see `attention.varlen_attention`. fp16 or bf16."""
    from flash_attn import flash_attn_varlen_qkvpacked_func

    if rope is not None:
        qkv = torch.stack((*_rotated(qkv, cu_seqlens, rope), qkv[:, 2]), dim=1)
    attended = flash_attn_varlen_qkvpacked_func(
        qkv, cu_seqlens, max_length, softmax_scale=scale, causal=False, alibi_slopes=alibi_slopes
    )
    return attended.flatten(1)  # type: ignore[no-any-return]
