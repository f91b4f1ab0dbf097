"""Attention of sequences of any length: keys and values stream through a loop with online softmax.

Rotated keys are written back in place before the loop (arXiv:2205.14135 describes online softmax).
"""

from __future__ import annotations

from virnucpro_kernels.ops.attention_tiles import (
    accumulate,
    end_after_previous,
    finish,
    let_next_begin,
    load_rotated,
    load_tile,
    locate,
    score_tile,
    store_tile,
)
from virnucpro_kernels.ops.jit import jit, jit_unspecialized, tl


@jit
def _rotate_keys_in_place(
    keys_ptr: tl.tensor,
    cos_ptr: tl.tensor,
    sin_ptr: tl.tensor,
    length: tl.tensor,
    stride: tl.constexpr,
    half: tl.constexpr,
    block_half: tl.constexpr,
    block: tl.constexpr,
) -> None:
    for first_row in tl.range(0, length, block, num_stages=1):
        rows = first_row + tl.arange(0, block)
        first, second = load_rotated(keys_ptr, cos_ptr, sin_ptr, 1.0, rows, length, stride, half, block_half)
        store_tile(keys_ptr, first, rows, stride, length, half, block_half)
        store_tile(keys_ptr + half, second, rows, stride, length, half, block_half)


@jit_unspecialized("spans_ptr")
def streamed_kernel(
    out_ptr: tl.tensor,
    out_scale_ptr: tl.tensor,
    qkv_ptr: tl.tensor,
    spans_ptr: tl.tensor,
    cos_ptr: tl.tensor,
    sin_ptr: tl.tensor,
    slopes_ptr: tl.tensor,
    scale: tl.tensor,
    heads: tl.constexpr,
    head_dim: tl.constexpr,
    block_half: tl.constexpr,
    block_dim: tl.constexpr,
    block: tl.constexpr,
    stages: tl.constexpr,
    overlapped: tl.constexpr,
) -> None:
    """Attention of sequences of any length: those at the beginning of `spans_ptr`. Overwrites their keys.

    Keys and values of a long sequence do not fit into shared memory. Each tile of queries therefore passes over all of
    them, tile by tile, while the next `stages` tiles are on their way, and keeps the running maximum, sum and weighted
    values of online softmax. The keys are rotated once, before, and not again for each tile of queries.

    Args:
        out_ptr: Result, (T, heads * head_dim). The other pointers, `scale`, the sizes and `overlapped` are those of
            `resident_kernel`.
        stages: Buffers for tiles of keys and values.
    """
    let_next_begin(overlapped)
    head, length, queries_ptr, keys_ptr, values_ptr, out, slope = locate(
        out_ptr, qkv_ptr, spans_ptr, slopes_ptr, 0, heads, head_dim
    )
    if out_scale_ptr is not None:
        out_scale_ptr += head * head_dim
    half: tl.constexpr = head_dim // 2
    width: tl.constexpr = heads * head_dim
    stride: tl.constexpr = 3 * width

    if cos_ptr is not None:
        _rotate_keys_in_place(keys_ptr, cos_ptr, sin_ptr, length, stride, half, block_half, block)
        tl.debug_barrier()  # from here on, threads read what others have written

    whole_tiles = length // block * block  # tokens in tiles that are full
    for first_row in tl.range(0, length, block, num_stages=1):
        rows = first_row + tl.arange(0, block)
        query = load_rotated(queries_ptr, cos_ptr, sin_ptr, scale, rows, length, stride, half, block_half)
        highest = tl.full([block], -float("inf"), tl.float32)
        total = tl.zeros([block], tl.float32)
        result = tl.zeros([block, block_dim], tl.float32)
        for column in tl.range(0, whole_tiles, block, num_stages=stages):
            columns = column + tl.arange(0, block)
            # A bound that is never reached: the tile is whole, and its loads need no mask by row.
            key_first = load_tile(keys_ptr, columns, stride, column + block, half, block_half)
            key_second = load_tile(keys_ptr + half, columns, stride, column + block, half, block_half)
            value = load_tile(values_ptr, columns, stride, column + block, head_dim, block_dim)
            key = key_first.T, key_second.T
            scores = score_tile(query, key, rows, columns, length, slope, slopes_ptr is not None, False)
            highest, total, result = accumulate(scores, value, highest, total, result, False)
        if whole_tiles < length:
            columns = whole_tiles + tl.arange(0, block)
            key_first = load_tile(keys_ptr, columns, stride, length, half, block_half)
            key_second = load_tile(keys_ptr + half, columns, stride, length, half, block_half)
            value = load_tile(values_ptr, columns, stride, length, head_dim, block_dim)
            key = key_first.T, key_second.T
            scores = score_tile(query, key, rows, columns, length, slope, slopes_ptr is not None, True)
            highest, total, result = accumulate(scores, value, highest, total, result, False)
        finish(out, out_scale_ptr, result, total, rows, length, width, head_dim, block_dim)
    end_after_previous(overlapped)
