"""Attention over packed sequences, with rotary positions (ESM-2) or ALiBi (DNABERT-S) applied inside."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from virnucpro_kernels.ops import dispatch

Rope = tuple[torch.Tensor, torch.Tensor]


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary position embedding of the half-split kind (arXiv:2104.09864), computed in fp32.

    :param x: (T, heads, D); channel c pairs with channel c + D/2.
    :param cos, sin: fp32 (T, D/2), those of each token's position.
    :return: (T, heads, D) in the type of x.
    """
    first, second = x.float().chunk(2, dim=-1)
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x.dtype)


def varlen_attention_reference(
    qkv: torch.Tensor,
    cu_seqlens: torch.Tensor,
    lengths: npt.NDArray[np.integer],
    max_length: int,
    *,
    rope: Rope | None,
    alibi_slopes: torch.Tensor | None,
    scale: float,
) -> torch.Tensor:
    """`varlen_attention` in plain PyTorch: sequences of equal length are stacked for one dense attention."""
    tokens, _, heads, head_dim = qkv.shape
    starts = np.concatenate(([0], np.cumsum(lengths)))[:-1]
    out = qkv.new_zeros(tokens, heads, head_dim)
    for length in np.unique(lengths).tolist():
        if length == 0:
            continue
        positions = np.arange(length)
        rows = torch.from_numpy((starts[lengths == length][:, None] + positions).ravel()).to(qkv.device)
        query, key, value = qkv[rows].unbind(1)
        query = query * scale
        if rope is not None:
            at = torch.from_numpy(np.tile(positions, len(rows) // length)).to(qkv.device)
            cos, sin = rope[0][at], rope[1][at]
            query, key = rotate(query, cos, sin), rotate(key, cos, sin)
        bias = None
        if alibi_slopes is not None:
            distance = torch.from_numpy(np.abs(positions[:, None] - positions)).to(qkv.device)
            bias = (-alibi_slopes.view(-1, 1, 1) * distance).to(qkv.dtype).unsqueeze(0)
        query, key, value = (x.reshape(-1, length, heads, head_dim).transpose(1, 2) for x in (query, key, value))
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=1.0)
        out[rows] = attended.transpose(1, 2).flatten(0, 1)
    return out.flatten(1)


def varlen_attention(
    qkv: torch.Tensor,
    cu_seqlens: torch.Tensor,
    lengths: npt.NDArray[np.integer],
    max_length: int,
    *,
    rope: Rope | None,
    alibi_slopes: torch.Tensor | None,
    scale: float,
    backend: str = "auto",
) -> torch.Tensor:
    """Softmax attention of every sequence over itself, not causal; positions restart at 0 in each sequence.

    :param qkv: (T, 3, heads, D) fp32, fp16 or bf16; tokens behind the last sequence are ignored.
    :param cu_seqlens: int32 (B + 1,) borders of the sequences; repeated ones are sequences of no tokens.
    :param lengths: (B,) the same on the host, so that no launch waits for the device; max_length: the largest.
    :param rope: cos and sin, fp32 (at least max_length, D/2): queries and keys are rotated by their position.
    :param alibi_slopes: fp32 (heads,): a score loses slope times distance.
    :param scale: factor of the queries, before the rotation.
    :param backend: see `dispatch.resolve_attention`.
    :return: (T, heads * D) in the type of qkv; rows behind the last sequence are undefined.
    :raises ValueError: both rope and alibi_slopes, or a rope table that is too short.
    """
    if rope is not None and alibi_slopes is not None:
        raise ValueError("varlen_attention: rope or alibi_slopes, not both")
    if rope is not None and len(rope[0]) < max_length:
        raise ValueError(f"varlen_attention: rope tables of {len(rope[0])} positions for {max_length} tokens")
    dispatch.resolve_attention(
        backend, device=qkv.device, dtype=qkv.dtype, head_dim=qkv.shape[3], alibi=alibi_slopes is not None
    )
    return varlen_attention_reference(
        qkv, cu_seqlens, lengths, max_length, rope=rope, alibi_slopes=alibi_slopes, scale=scale
    )
