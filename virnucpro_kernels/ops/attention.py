"""Attention over packed sequences, with rotary positions (ESM-2) or ALiBi (DNABERT-S) applied inside."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from virnucpro_kernels.ops import dispatch
from virnucpro_kernels.ops.attention_resident import resident_kernel
from virnucpro_kernels.ops.attention_streamed import streamed_kernel
from virnucpro_kernels.ops.configs import AttentionLaunch, KernelConfig, kernel_config
from virnucpro_kernels.ops.jit import triton
from virnucpro_kernels.ops.packing import PackedBatch
from virnucpro_kernels.ops.quantize import FP8, Operand, RowScaled, quantize_columns

#: Cosines and sines of the angle of each position and pair of channels, fp32 (positions, D/2) each.
RopeTables = tuple[torch.Tensor, torch.Tensor]

#: Channels of a head for which shared memory has room for all tiles of `AttentionLaunch.resident`; of larger heads
#: fewer tiles are resident.
_RESIDENT_CHANNELS = 64


class AttentionParameters(NamedTuple):
    """Parameters of the attention of one layer, beside its queries, keys and values.

    Attributes:
        scale: Factor of the queries, before the rotation.
        rope: Cosines and sines, fp32 (at least the longest sequence, D/2) each, by which queries and keys are rotated.
        alibi_slopes: Slopes of the heads, fp32 (heads,). A score loses slope times distance.
        fp8_scale: Factors of the channels, fp32 (heads * D,). Where given, the result is e4m3 values times these
            factors, see `quantize.quantize_columns`.
    """

    scale: float
    rope: RopeTables | None = None
    alibi_slopes: torch.Tensor | None = None
    fp8_scale: torch.Tensor | None = None


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotate channel c with channel c + D/2 by the angles of each token's position, computed in fp32.

    Args:
        x: Queries or keys, (T, heads, D).
        cos: Cosines of the angles, fp32 (T, D/2).
        sin: Sines of the angles, fp32 (T, D/2).

    Returns:
        (T, heads, D) in the type of `x`.
    """
    first, second = x.float().chunk(2, dim=-1)
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x.dtype)


def varlen_attention_reference(qkv: torch.Tensor, batch: PackedBatch, parameters: AttentionParameters) -> Operand:
    """`varlen_attention` in plain PyTorch: sequences of equal length are stacked for one dense attention."""
    scale, rope, alibi_slopes, fp8_scale = parameters
    tokens, _, heads, head_dim = qkv.shape
    shortest_first = np.sort(batch.lengths)  # the spans in reverse: their order is known without asking the device
    out = qkv.new_zeros(tokens, heads, head_dim)
    for length in np.unique(shortest_first[shortest_first > 0]).tolist():
        positions = torch.arange(length, device=qkv.device)
        begin, end = len(shortest_first) - np.searchsorted(shortest_first, (length, length + 1))[::-1]
        first = batch.spans[begin:end, 0].long()
        rows = (first.unsqueeze(1) + positions).flatten()
        query, key, value = qkv[rows].unbind(1)
        query = query * scale
        if rope is not None:
            at = positions.repeat(len(first))
            query, key = (rotate(x, rope[0][at], rope[1][at]) for x in (query, key))
        bias = None
        if alibi_slopes is not None:
            distance = (positions.unsqueeze(1) - positions).abs()
            bias = (-alibi_slopes.view(-1, 1, 1) * distance).to(qkv.dtype).unsqueeze(0)
        query, key, value = (x.reshape(-1, length, heads, head_dim).transpose(1, 2) for x in (query, key, value))
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=1.0)
        out[rows] = attended.transpose(1, 2).flatten(0, 1)
    return out.flatten(1) if fp8_scale is None else quantize_columns(out.flatten(1), fp8_scale)


def varlen_attention(
    qkv: torch.Tensor,
    batch: PackedBatch,
    parameters: AttentionParameters,
    *,
    backend: str = "auto",
    config: KernelConfig | None = None,
) -> Operand:
    """Softmax attention of every sequence over itself, not causal; positions restart at 0 in each sequence.

    Args:
        qkv: Queries, keys and values, (T, 3, heads, D) fp32, fp16 or bf16, contiguous; tokens behind the last sequence
            are ignored. **Its queries and keys may be overwritten** by their rotated selves.
        batch: Sequences, T tokens at most in all; the `tokens` of the batch are not read.
        parameters: Scale, and rotation or ALiBi.
        backend: Backend, see `dispatch.resolve_attention`.
        config: Launch configurations of our kernels; None takes the tuned ones.

    Returns:
        (T, heads * D) in the type of `qkv`, or `RowScaled` with `fp8_scale`; rows behind the last sequence are
        undefined.

    Raises:
        ValueError: both `rope` and `alibi_slopes` are given, or the tables of `rope` are too short.
    """
    _, rope, alibi_slopes, fp8_scale = parameters
    if rope is not None and alibi_slopes is not None:
        raise ValueError("varlen_attention: rope or alibi_slopes, not both")
    if rope is not None and len(rope[0]) < batch.max_length:
        raise ValueError(f"varlen_attention: rope tables of {len(rope[0])} positions for {batch.max_length} tokens")
    chosen = dispatch.resolve_attention(
        backend, device=qkv.device, dtype=qkv.dtype, head_dim=qkv.shape[3], alibi=alibi_slopes is not None
    )
    if chosen == "triton":
        config = config or kernel_config(qkv.device)
        launch = config.attention_fp32 if qkv.dtype == torch.float32 else config.attention
        return _launch(qkv, batch, parameters, launch)
    if chosen == "sdpa":
        out = _sdpa(qkv, batch, parameters).flatten(1)
    else:
        out = _flash_attention(qkv, batch, parameters, bundled=chosen == "flash").flatten(1)
    return out if fp8_scale is None else quantize_columns(out, fp8_scale)


def _sdpa(qkv: torch.Tensor, batch: PackedBatch, parameters: AttentionParameters) -> torch.Tensor:
    """Attend by torch's own attention, one call for each run of neighbours of equal length; nothing is gathered.

    On a CPU it computes in fp32 whatever the type of `qkv`: in 16 bits torch's attention there is slower.
    """
    tokens, _, heads, head_dim = qkv.shape
    inputs = qkv.float() if qkv.device.type == "cpu" else qkv
    inputs[:, 0] *= parameters.scale
    if parameters.rope is not None:
        cos, sin = (table[batch.positions] for table in parameters.rope)
        _rotate_in_place(inputs[:, :2].view(tokens, 2 * heads, head_dim), cos, sin)
    bias = None
    if parameters.alibi_slopes is not None:
        at = torch.arange(batch.max_length, device=qkv.device)
        distance = (at.unsqueeze(1) - at).abs()
        bias = (-parameters.alibi_slopes.view(-1, 1, 1) * distance).to(inputs.dtype).unsqueeze(0)
    out = qkv.new_empty(tokens, heads, head_dim)
    start = 0
    for length, count in _runs(batch.lengths):
        stop = start + length * count
        query, key, value = inputs[start:stop].view(count, length, 3, heads, head_dim).permute(2, 0, 3, 1, 4)
        near = None if bias is None else bias[..., :length, :length]
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=near, scale=1.0)
        out[start:stop].view(count, length, heads, head_dim).copy_(attended.transpose(1, 2))
        start = stop
    out[start:] = 0
    return out


def _rotate_in_place(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> None:
    """`rotate` in place."""
    if x.dtype != torch.float32:
        x.copy_(rotate(x, cos, sin))
        return
    first, second = x.chunk(2, dim=-1)
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    turned = first * sin
    first.mul_(cos).addcmul_(second, sin, value=-1)
    second.mul_(cos).add_(turned)


def _runs(lengths: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield length and number of neighbouring sequences of equal length, empty ones left out."""
    lengths = lengths[lengths > 0]
    ends = np.append(np.flatnonzero(np.diff(lengths)) + 1, len(lengths))
    yield from zip(lengths[ends - 1].tolist(), np.diff(ends, prepend=0).tolist(), strict=True) if len(lengths) else ()


def _flash_attention(
    qkv: torch.Tensor, batch: PackedBatch, parameters: AttentionParameters, *, bundled: bool
) -> torch.Tensor:
    """Attend by torch's own FlashAttention-2 (no ALiBi), or by that of the package flash-attn, in fp16 or bf16."""
    query, key, value = qkv.unbind(1)
    if parameters.rope is not None:
        cos, sin = (table[batch.positions] for table in parameters.rope)
        query, key = rotate(query, cos, sin), rotate(key, cos, sin)
    inputs = (query, key, value, batch.cu_seqlens, batch.cu_seqlens, batch.max_length, batch.max_length)
    if bundled:
        return torch.ops.aten._flash_attention_forward(*inputs, 0.0, False, False, scale=parameters.scale)[0]  # type: ignore[no-any-return]
    from flash_attn import flash_attn_varlen_func

    return flash_attn_varlen_func(  # type: ignore[no-any-return]
        *inputs, softmax_scale=parameters.scale, causal=False, alibi_slopes=parameters.alibi_slopes
    )


def _launch(qkv: torch.Tensor, batch: PackedBatch, parameters: AttentionParameters, launch: AttentionLaunch) -> Operand:
    """Compute `varlen_attention` by our kernels: one launch for each number of tiles that occurs in the batch.

    A sequence of n tokens is ceil(n / block) tiles. `resident_kernel` is compiled for a fixed number of tiles, so each
    number has a launch of its own; sequences of more tiles than fit into shared memory share one of `streamed_kernel`.
    `batch.spans` lists the sequences from the longest to the shortest. Those of one launch are therefore neighbours
    there, and a launch needs to know only the index of its first sequence. The long ones, which take longest, come
    first; where the GPU can do so, a launch begins while the one before it runs out of programs.
    """
    scale, rope, alibi_slopes, fp8_scale = parameters
    tokens, _, heads, head_dim = qkv.shape
    out = torch.empty(tokens, heads * head_dim, dtype=qkv.dtype if fp8_scale is None else FP8, device=qkv.device)
    cos, sin = rope if rope is not None else (None, None)
    arguments = (out, fp8_scale, qkv, batch.spans, cos, sin, alibi_slopes, scale * math.log2(math.e))
    overlapped = launch.overlapped and qkv.is_cuda
    sizes = {
        "heads": heads,
        "head_dim": head_dim,
        "block_half": max(16, triton.next_power_of_2(head_dim // 2)),
        "block_dim": max(16, triton.next_power_of_2(head_dim)),
        "block": launch.block,
        "overlapped": overlapped,
    }
    most_tiles = len(launch.resident) * _RESIDENT_CHANNELS // max(_RESIDENT_CHANNELS, sizes["block_dim"])
    # Number of sequences of 0, 1, 2, … tiles. The host knows all lengths, so nothing waits for the device.
    count = np.bincount(-(-batch.lengths // launch.block), minlength=most_tiles + 1)
    first = int(count[most_tiles + 1 :].sum())  # index in `spans` of the first sequence that is not launched yet
    if first:
        streamed_kernel[(heads * first,)](
            *arguments, stages=launch.stages, **sizes, num_warps=launch.warps, maxnreg=launch.registers
        )
    for tiles in range(most_tiles, 0, -1):  # sequences of no tokens come last and need no launch
        if count[tiles]:
            resident = launch.resident[tiles - 1]
            resident_kernel[(heads * int(count[tiles]),)](
                *arguments, first, tiles=tiles, queries=resident.queries, **sizes,
                num_warps=resident.warps, maxnreg=resident.registers,
                launch_pdl=overlapped and first > 0,  # begins before the launch before it has ended
            )  # fmt: skip
            first += int(count[tiles])
    if fp8_scale is None:
        return out
    return RowScaled(out, torch.ones(tokens, 1, dtype=torch.float32, device=out.device))
