"""Attention of short sequences: keys and values of a whole sequence stay in shared memory.

Every byte of qkv is read once. For sequences of a few tiles, as the frames of windows are.
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
    rotate,
    score_tile,
)
from virnucpro_kernels.ops.jit import jit, jit_unspecialized, tl


@jit
def _resident_queries(
    query: tl.tuple,
    keys: tl.tuple,
    values: tl.tuple,
    rows: tl.tensor,
    length: tl.tensor,
    slope: tl.tensor,
    alibi: tl.constexpr,
    tiles: tl.constexpr,
    block: tl.constexpr,
) -> tl.tuple:
    """Return weighted values of some queries, and sums of their weights. Only the last tile of keys needs a mask."""
    highest, total, result = 0.0, 0.0, 0.0
    for tile in tl.static_range(tiles):
        columns = tile * block + tl.arange(0, block)
        scores = score_tile(query, keys[tile], rows, columns, length, slope, alibi, tile == tiles - 1)
        highest, total, result = accumulate(scores, values[tile], highest, total, result, tile == 0)
    return result, total


@jit
def _load_sequence(
    queries_ptr: tl.tensor,
    keys_ptr: tl.tensor,
    values_ptr: tl.tensor,
    cos_ptr: tl.tensor,
    sin_ptr: tl.tensor,
    scale: tl.tensor,
    length: tl.tensor,
    stride: tl.constexpr,
    head_dim: tl.constexpr,
    block_half: tl.constexpr,
    block_dim: tl.constexpr,
    block: tl.constexpr,
    tiles: tl.constexpr,
    with_queries: tl.constexpr,
) -> tl.tuple:
    """Load a whole sequence. Queries are scaled, queries and keys rotated, in fp32; both are rounded once.

    Returns:
        Tuples with one entry a tile: both halves of the queries (an empty tuple where `with_queries` is false), both
        halves of the keys, transposed, and values.
    """
    half: tl.constexpr = head_dim // 2
    dtype = queries_ptr.dtype.element_ty
    queries, keys, values = tl.tuple(()), tl.tuple(()), tl.tuple(())
    for tile in tl.static_range(tiles):
        token = tile * block + tl.arange(0, block)
        key_first = load_tile(keys_ptr, token, stride, length, half, block_half)
        key_second = load_tile(keys_ptr + half, token, stride, length, half, block_half)
        if with_queries:
            query_first = load_tile(queries_ptr, token, stride, length, half, block_half).to(tl.float32)
            query_second = load_tile(queries_ptr + half, token, stride, length, half, block_half).to(tl.float32)
            query_first, query_second = query_first * scale, query_second * scale
        if cos_ptr is not None:
            # Queries and keys of a tile have the same positions: the tables are loaded once for both.
            cos = load_tile(cos_ptr, token, half, length, half, block_half)
            sin = load_tile(sin_ptr, token, half, length, half, block_half)
            key_first, key_second = rotate(key_first.to(tl.float32), key_second.to(tl.float32), cos, sin)
            if with_queries:
                query_first, query_second = rotate(query_first, query_second, cos, sin)
        values += (load_tile(values_ptr, token, stride, length, head_dim, block_dim),)
        keys += (tl.tuple((key_first.to(dtype).T, key_second.to(dtype).T)),)
        if with_queries:
            queries += (tl.tuple((query_first.to(dtype), query_second.to(dtype))),)
    return queries, keys, values


@jit_unspecialized("spans_ptr", "first_sequence")
def resident_kernel(
    out_ptr: tl.tensor,
    out_scale_ptr: tl.tensor,
    qkv_ptr: tl.tensor,
    spans_ptr: tl.tensor,
    cos_ptr: tl.tensor,
    sin_ptr: tl.tensor,
    slopes_ptr: tl.tensor,
    scale: tl.tensor,
    first_sequence: tl.tensor,
    heads: tl.constexpr,
    head_dim: tl.constexpr,
    block_half: tl.constexpr,
    block_dim: tl.constexpr,
    block: tl.constexpr,
    tiles: tl.constexpr,
    queries: tl.constexpr,
    overlapped: tl.constexpr,
) -> None:
    """Attention of sequences of exactly `tiles` tiles of `block` tokens.

    The number of tiles is a constant of the kernel, so that its loops over tiles are unrolled: the scores of a query
    with the whole sequence need no loop, and no tile but the last needs a mask.

    Args:
        out_ptr: Result, (T, heads * head_dim).
        out_scale_ptr: Factors of the channels where the result is fp8, fp32 (heads * head_dim,); otherwise None.
        qkv_ptr: Queries, keys and values, (T, 3, heads, head_dim).
        spans_ptr: Start and length of the sequences, longest first, int32 (B, 2).
        cos_ptr, sin_ptr: Cosines and sines, fp32 (positions, head_dim / 2) each, or None without rotation.
        slopes_ptr: ALiBi slopes, fp32 (heads,), or None without ALiBi.
        scale: Factor of the queries, times log2(e).
        first_sequence: Index in `spans_ptr` of the first sequence of this launch.
        heads: Number of heads; the grid has `heads` programs for each sequence of this launch.
        head_dim: Channels of a head.
        block_half: Channels of half a head, padded to a power of two.
        block_dim: Channels of a head, padded to a power of two.
        block: Tokens of a tile.
        tiles: Tiles of each sequence of this launch.
        queries: Tokens whose queries are loaded at a time. None: all at the start, with the tables of their keys.
        overlapped: Whether launches of a batch run into one another, see `let_next_begin`.
    """
    let_next_begin(overlapped)
    head, length, queries_ptr, keys_ptr, values_ptr, out, slope = locate(
        out_ptr, qkv_ptr, spans_ptr, slopes_ptr, first_sequence, heads, head_dim
    )
    if out_scale_ptr is not None:
        out_scale_ptr += head * head_dim
    half: tl.constexpr = head_dim // 2
    width: tl.constexpr = heads * head_dim
    stride: tl.constexpr = 3 * width
    tiles_of_queries, keys, values = _load_sequence(
        queries_ptr, keys_ptr, values_ptr, cos_ptr, sin_ptr, scale, length,
        stride, head_dim, block_half, block_dim, block, tiles, queries is None,
    )  # fmt: skip

    if queries is None:
        for tile in tl.static_range(tiles):
            rows = tile * block + tl.arange(0, block)
            result, total = _resident_queries(
                tiles_of_queries[tile], keys, values, rows, length, slope, slopes_ptr is not None, tiles, block
            )
            finish(out, out_scale_ptr, result, total, rows, length, width, head_dim, block_dim)
    else:
        for first_row in tl.range(0, length, queries, num_stages=1):
            rows = first_row + tl.arange(0, queries)
            query = load_rotated(queries_ptr, cos_ptr, sin_ptr, scale, rows, length, stride, half, block_half)
            result, total = _resident_queries(
                query, keys, values, rows, length, slope, slopes_ptr is not None, tiles, block
            )
            finish(out, out_scale_ptr, result, total, rows, length, width, head_dim, block_dim)
    end_after_previous(overlapped)
