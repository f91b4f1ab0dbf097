"""The Triton kernels of attention over packed sequences.

One program computes one head of one sequence. Scores are in units of log2, so that softmax is `exp2`; statistics are
fp32. Queries are scaled and rotated in fp32 and rounded once. Two kernels share the work by the length of a sequence:

- `resident_kernel`: rotated keys and values of the whole sequence stay in shared memory, and every byte of qkv is read
  once. For sequences of a few tiles, which windows are.
- `streamed_kernel`: rotated keys are written back in place, then keys and values stream through a loop with online
  softmax (arXiv:2205.14135). For any length.

A head of D channels is handled as two halves, because rotation mixes channel c with c + D/2: the score of two tokens
is the sum of two products. Halves are padded with zeros to a power of two, at least 16.
"""

from __future__ import annotations

from virnucpro_kernels.ops.jit import jit, jit_for_any, tl


@jit
def _load_tile(
    base: tl.tensor, rows: tl.tensor, stride: tl.constexpr, length: tl.tensor, width: tl.constexpr, block: tl.constexpr
) -> tl.tensor:
    """Some rows of a matrix with `width` columns, zero outside of it: (rows, block)."""
    columns = tl.arange(0, block)
    inside = (rows < length)[:, None]
    if width != block:
        inside = inside & (columns < width)[None, :]
    return tl.load(base + rows[:, None] * stride + columns[None, :], mask=inside, other=0.0)


@jit
def _store_tile(
    base: tl.tensor,
    tile: tl.tensor,
    rows: tl.tensor,
    stride: tl.constexpr,
    length: tl.tensor,
    width: tl.constexpr,
    block: tl.constexpr,
) -> None:
    columns = tl.arange(0, block)
    inside = (rows < length)[:, None]
    if width != block:
        inside = inside & (columns < width)[None, :]
    tl.store(base + rows[:, None] * stride + columns[None, :], tile.to(base.dtype.element_ty), mask=inside)


@jit
def _rotate(first: tl.tensor, second: tl.tensor, cos: tl.tensor, sin: tl.tensor) -> tl.tuple:
    return first * cos - second * sin, second * cos + first * sin


@jit
def _scores(
    query_first: tl.tensor,
    query_second: tl.tensor,
    key_first: tl.tensor,
    key_second: tl.tensor,
    rows: tl.tensor,
    columns: tl.tensor,
    length: tl.tensor,
    slope: tl.tensor,
    alibi: tl.constexpr,
    masked: tl.constexpr,
) -> tl.tensor:
    """Scores of queries `rows` and keys `columns`; keys come transposed."""
    scores = tl.dot(query_first, key_first, input_precision="ieee")
    scores = tl.dot(query_second, key_second, acc=scores, input_precision="ieee")
    if alibi:
        scores -= slope * tl.abs(rows[:, None] - columns[None, :]).to(tl.float32)
    if masked:
        scores = tl.where((columns < length)[None, :], scores, -float("inf"))
    return scores


@jit
def _accumulate(
    scores: tl.tensor, values: tl.tensor, highest: tl.tensor, total: tl.tensor, result: tl.tensor, first: tl.constexpr
) -> tl.tuple:
    """One step of online softmax: row maxima, row sums and weighted values of all scores so far."""
    if first:
        highest = tl.max(scores, 1)
        weights = tl.exp2(scores - highest[:, None])
        total = tl.sum(weights, 1)
        result = tl.dot(weights.to(values.dtype), values, input_precision="ieee")
    else:
        higher = tl.maximum(highest, tl.max(scores, 1))
        shrink = tl.exp2(highest - higher)
        weights = tl.exp2(scores - higher[:, None])
        highest = higher
        total = total * shrink + tl.sum(weights, 1)
        result = tl.dot(weights.to(values.dtype), values, acc=result * shrink[:, None], input_precision="ieee")
    return highest, total, result


@jit
def _finish(
    out: tl.tensor,
    out_scale_ptr: tl.tensor,
    result: tl.tensor,
    total: tl.tensor,
    rows: tl.tensor,
    length: tl.tensor,
    width: tl.constexpr,
    head_dim: tl.constexpr,
    block_dim: tl.constexpr,
) -> None:
    result = result * (1.0 / total)[:, None]
    if out_scale_ptr is not None:
        channels = tl.arange(0, block_dim)
        result *= tl.load(out_scale_ptr + channels, mask=channels < head_dim, other=0.0)[None, :]
    _store_tile(out, result, rows, width, length, head_dim, block_dim)


@jit
def _resident_queries(
    query_first: tl.tensor,
    query_second: tl.tensor,
    keys_first: tl.tuple,
    keys_second: tl.tuple,
    values: tl.tuple,
    rows: tl.tensor,
    length: tl.tensor,
    slope: tl.tensor,
    alibi: tl.constexpr,
    tiles: tl.constexpr,
    block: tl.constexpr,
) -> tl.tuple:
    """Weighted values of some queries, and the sums of their weights. Only the last tile of keys is partial."""
    highest, total, result = 0.0, 0.0, 0.0
    for tile in tl.static_range(tiles):
        columns = tile * block + tl.arange(0, block)
        scores = _scores(
            query_first, query_second, keys_first[tile], keys_second[tile], rows, columns, length, slope, alibi,
            tile == tiles - 1,
        )  # fmt: skip
        highest, total, result = _accumulate(scores, values[tile], highest, total, result, tile == 0)
    return result, total


@jit
def _let_next_begin(overlapped: tl.constexpr) -> None:
    """Let the next of the launches that share a batch fill the multiprocessors that this one leaves idle at its end.

    Each has sequences of its own, so they need not wait for one another, as long as `_end_after_previous` ends them in
    order. `overlapped` is for compute capability 9.0 and newer.
    """
    if overlapped:
        tl.extra.cuda.gdc_launch_dependents()


@jit
def _end_after_previous(overlapped: tl.constexpr) -> None:
    """Wait for the launch before, so that whoever waits for this one waits for all of them."""
    if overlapped:
        tl.extra.cuda.gdc_wait()


@jit_for_any("spans_ptr", "first_place")
def resident_kernel(
    out_ptr: tl.tensor,
    out_scale_ptr: tl.tensor,
    qkv_ptr: tl.tensor,
    spans_ptr: tl.tensor,
    cos_ptr: tl.tensor,
    sin_ptr: tl.tensor,
    slopes_ptr: tl.tensor,
    scale: tl.tensor,
    first_place: tl.tensor,
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

    :param spans_ptr: start and length of the sequences; this launch begins with the one at `first_place`.
    :param scale: of the queries, times log2(e).
    :param queries: tokens whose queries are loaded at a time. None: all at the start, with the tables of their keys.
    :param overlapped: see `_let_next_begin`.
    """
    _let_next_begin(overlapped)
    head = tl.program_id(0) % heads
    place = first_place + tl.program_id(0) // heads
    start = tl.load(spans_ptr + 2 * place)
    length = tl.load(spans_ptr + 2 * place + 1)

    half: tl.constexpr = head_dim // 2
    width: tl.constexpr = heads * head_dim
    stride: tl.constexpr = 3 * width
    dtype = qkv_ptr.dtype.element_ty
    queries_ptr = qkv_ptr + start.to(tl.int64) * stride + head * head_dim
    keys_ptr = queries_ptr + width
    values_ptr = keys_ptr + width
    out = out_ptr + start.to(tl.int64) * width + head * head_dim
    if out_scale_ptr is not None:
        out_scale_ptr += head * head_dim
    slope = 0.0
    if slopes_ptr is not None:
        slope = tl.load(slopes_ptr + head) * 1.4426950408889634

    queries_first = tl.tuple(())
    queries_second = tl.tuple(())
    keys_first = tl.tuple(())
    keys_second = tl.tuple(())
    values = tl.tuple(())
    for tile in tl.static_range(tiles):
        token = tile * block + tl.arange(0, block)
        key_first = _load_tile(keys_ptr, token, stride, length, half, block_half)
        key_second = _load_tile(keys_ptr + half, token, stride, length, half, block_half)
        if queries is None:
            query_first = _load_tile(queries_ptr, token, stride, length, half, block_half).to(tl.float32)
            query_second = _load_tile(queries_ptr + half, token, stride, length, half, block_half).to(tl.float32)
            query_first, query_second = query_first * scale, query_second * scale
        if cos_ptr is not None:
            cos = _load_tile(cos_ptr, token, half, length, half, block_half)
            sin = _load_tile(sin_ptr, token, half, length, half, block_half)
            key_first, key_second = _rotate(key_first.to(tl.float32), key_second.to(tl.float32), cos, sin)
            if queries is None:
                query_first, query_second = _rotate(query_first, query_second, cos, sin)
        values += (_load_tile(values_ptr, token, stride, length, head_dim, block_dim),)
        keys_first += (key_first.to(dtype).T,)
        keys_second += (key_second.to(dtype).T,)
        if queries is None:
            queries_first += (query_first.to(dtype),)
            queries_second += (query_second.to(dtype),)

    if queries is None:
        for tile in tl.static_range(tiles):
            rows = tile * block + tl.arange(0, block)
            result, total = _resident_queries(
                queries_first[tile], queries_second[tile], keys_first, keys_second, values, rows, length, slope,
                slopes_ptr is not None, tiles, block,
            )  # fmt: skip
            _finish(out, out_scale_ptr, result, total, rows, length, width, head_dim, block_dim)
    else:
        for first_row in tl.range(0, length, queries, num_stages=1):
            rows = first_row + tl.arange(0, queries)
            first, second = _load_queries(queries_ptr, cos_ptr, sin_ptr, scale, rows, length, stride, half, block_half)
            result, total = _resident_queries(
                first, second, keys_first, keys_second, values, rows, length, slope, slopes_ptr is not None, tiles,
                block,
            )  # fmt: skip
            _finish(out, out_scale_ptr, result, total, rows, length, width, head_dim, block_dim)
    _end_after_previous(overlapped)


@jit
def _load_queries(
    queries_ptr: tl.tensor,
    cos_ptr: tl.tensor,
    sin_ptr: tl.tensor,
    scale: tl.tensor,
    rows: tl.tensor,
    length: tl.tensor,
    stride: tl.constexpr,
    half: tl.constexpr,
    block_half: tl.constexpr,
) -> tl.tuple:
    """Both halves of some queries, scaled and rotated."""
    first = _load_tile(queries_ptr, rows, stride, length, half, block_half).to(tl.float32) * scale
    second = _load_tile(queries_ptr + half, rows, stride, length, half, block_half).to(tl.float32) * scale
    if cos_ptr is not None:
        cos = _load_tile(cos_ptr, rows, half, length, half, block_half)
        sin = _load_tile(sin_ptr, rows, half, length, half, block_half)
        first, second = _rotate(first, second, cos, sin)
    return first.to(queries_ptr.dtype.element_ty), second.to(queries_ptr.dtype.element_ty)


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
        first = _load_tile(keys_ptr, rows, stride, length, half, block_half).to(tl.float32)
        second = _load_tile(keys_ptr + half, rows, stride, length, half, block_half).to(tl.float32)
        cos = _load_tile(cos_ptr, rows, half, length, half, block_half)
        sin = _load_tile(sin_ptr, rows, half, length, half, block_half)
        first, second = _rotate(first, second, cos, sin)
        _store_tile(keys_ptr, first, rows, stride, length, half, block_half)
        _store_tile(keys_ptr + half, second, rows, stride, length, half, block_half)


@jit_for_any("spans_ptr")
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
    """Attention of sequences of any length. Overwrites their keys.

    :param spans_ptr: start and length of the sequences.
    :param scale: of the queries, times log2(e).
    :param overlapped: see `_let_next_begin`.
    """
    _let_next_begin(overlapped)
    head = tl.program_id(0) % heads
    place = tl.program_id(0) // heads
    start = tl.load(spans_ptr + 2 * place)
    length = tl.load(spans_ptr + 2 * place + 1)

    half: tl.constexpr = head_dim // 2
    width: tl.constexpr = heads * head_dim
    stride: tl.constexpr = 3 * width
    queries_ptr = qkv_ptr + start.to(tl.int64) * stride + head * head_dim
    keys_ptr = queries_ptr + width
    values_ptr = keys_ptr + width
    out = out_ptr + start.to(tl.int64) * width + head * head_dim
    if out_scale_ptr is not None:
        out_scale_ptr += head * head_dim
    slope = 0.0
    if slopes_ptr is not None:
        slope = tl.load(slopes_ptr + head) * 1.4426950408889634

    if cos_ptr is not None:
        _rotate_keys_in_place(keys_ptr, cos_ptr, sin_ptr, length, stride, half, block_half, block)
        tl.debug_barrier()  # what other threads wrote is read from here on

    whole_tiles = length // block * block
    for first_row in tl.range(0, length, block, num_stages=1):
        rows = first_row + tl.arange(0, block)
        first, second = _load_queries(queries_ptr, cos_ptr, sin_ptr, scale, rows, length, stride, half, block_half)
        highest = tl.full([block], -float("inf"), tl.float32)
        total = tl.zeros([block], tl.float32)
        result = tl.zeros([block, block_dim], tl.float32)
        for column in tl.range(0, whole_tiles, block, num_stages=stages):
            columns = column + tl.arange(0, block)
            # A bound that is never reached: the tile is whole, and its loads need no mask by row.
            key_first = _load_tile(keys_ptr, columns, stride, column + block, half, block_half)
            key_second = _load_tile(keys_ptr + half, columns, stride, column + block, half, block_half)
            value = _load_tile(values_ptr, columns, stride, column + block, head_dim, block_dim)
            scores = _scores(
                first, second, key_first.T, key_second.T, rows, columns, length, slope, slopes_ptr is not None, False
            )
            highest, total, result = _accumulate(scores, value, highest, total, result, False)
        if whole_tiles < length:
            columns = whole_tiles + tl.arange(0, block)
            key_first = _load_tile(keys_ptr, columns, stride, length, half, block_half)
            key_second = _load_tile(keys_ptr + half, columns, stride, length, half, block_half)
            value = _load_tile(values_ptr, columns, stride, length, head_dim, block_dim)
            scores = _scores(
                first, second, key_first.T, key_second.T, rows, columns, length, slope, slopes_ptr is not None, True
            )
            highest, total, result = _accumulate(scores, value, highest, total, result, False)
        _finish(out, out_scale_ptr, result, total, rows, length, width, head_dim, block_dim)
    _end_after_previous(overlapped)
