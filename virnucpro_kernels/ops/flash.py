"""FlashAttention, as bundled with torch or from the package flash-attn, behind the signature of our attention."""

from __future__ import annotations

import torch

from virnucpro_kernels.ops.packing import PackedBatch
from virnucpro_kernels.ops.rotary import Rope, rotate


def _rotated(qkv: torch.Tensor, batch: PackedBatch, rope: Rope) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries and keys (T, heads, D), rotated."""
    cos, sin = rope[0][batch.positions], rope[1][batch.positions]
    return rotate(qkv[:, 0], cos, sin), rotate(qkv[:, 1], cos, sin)


def bundled_flash_attention(qkv: torch.Tensor, batch: PackedBatch, *, rope: Rope | None, scale: float) -> torch.Tensor:
    """Attention by torch's own FlashAttention-2; see `attention.varlen_attention`. fp16 or bf16, no ALiBi."""
    query, key, value = qkv.unbind(1)
    if rope is not None:
        query, key = _rotated(qkv, batch, rope)
    attended = torch.ops.aten._flash_attention_forward(
        query, key, value, batch.cu_seqlens, batch.cu_seqlens, batch.max_length, batch.max_length, 0.0, False, False,
        scale=scale,
    )[0]  # fmt: skip
    return attended.flatten(1)  # type: ignore[no-any-return]


def flash_attn_attention(
    qkv: torch.Tensor,
    batch: PackedBatch,
    *,
    rope: Rope | None,
    alibi_slopes: torch.Tensor | None,
    scale: float,
) -> torch.Tensor:
    """Attention by the package flash-attn; see `attention.varlen_attention`. fp16 or bf16."""
    from flash_attn import flash_attn_varlen_qkvpacked_func

    if rope is not None:
        qkv = torch.stack((*_rotated(qkv, batch, rope), qkv[:, 2]), dim=1)
    attended = flash_attn_varlen_qkvpacked_func(
        qkv, batch.cu_seqlens, batch.max_length, softmax_scale=scale, causal=False, alibi_slopes=alibi_slopes
    )
    return attended.flatten(1)  # type: ignore[no-any-return]
