"""The Triton kernels of attention over packed sequences.

One program computes one head of one sequence. Scores are in units of log2, so that softmax is `exp2`; statistics are
fp32. Queries are scaled and rotated in fp32 and rounded once. There are two kernels, because short sequences fit into
shared memory and long ones do not:

- `resident_kernel`: rotated keys and values of the whole sequence stay in shared memory, and every byte of qkv is read
  once. For sequences of a few tiles, as the frames of windows are.
- `streamed_kernel`: rotated keys are written back in place, then keys and values stream through a loop with online
  softmax (arXiv:2205.14135). For any length.

A head of D channels is handled as two halves, because rotation mixes channel c with c + D/2: the score of two tokens
is the sum of two products. Halves are padded with zeros to a power of two, at least 16.
"""

from __future__ import annotations

from virnucpro_kernels.ops.jit import jit, jit_unspecialized, tl


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
    query: tl.tuple,
    key: tl.tuple,
    rows: tl.tensor,
    columns: tl.tensor,
    length: tl.tensor,
    slope: tl.tensor,
    alibi: tl.constexpr,
    masked: tl.constexpr,
) -> tl.tensor:
    """Scores of queries `rows` and keys `columns`, both as two halves; keys come transposed."""
    scores = tl.dot(query[0], key[0], input_precision="ieee")
    scores = tl.dot(query[1], key[1], acc=scores, input_precision="ieee")
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
    """Weighted values of some queries, and the sums of their weights. Only the last tile of keys needs a mask."""
    highest, total, result = 0.0, 0.0, 0.0
    for tile in tl.static_range(tiles):
        columns = tile * block + tl.arange(0, block)
        scores = _scores(query, keys[tile], rows, columns, length, slope, alibi, tile == tiles - 1)
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
    """Wait for the launch before, so that the end of the last launch is the end of all of them."""
    if overlapped:
        tl.extra.cuda.gdc_wait()


@jit
def _locate(
    out_ptr: tl.tensor,
    qkv_ptr: tl.tensor,
    spans_ptr: tl.tensor,
    slopes_ptr: tl.tensor,
    first_place: tl.tensor,
    heads: tl.constexpr,
    head_dim: tl.constexpr,
) -> tl.tuple:
    """Find the head and the sequence of this program. The heads of a sequence are neighbouring programs.

    Returns:
        Number of the head; length of the sequence; pointers to the first token's query, key, value and result of this
        head; the head's ALiBi slope in units of log2, 0 without ALiBi.
    """
    head = tl.program_id(0) % heads
    place = first_place + tl.program_id(0) // heads
    start = tl.load(spans_ptr + 2 * place)
    length = tl.load(spans_ptr + 2 * place + 1)

    width: tl.constexpr = heads * head_dim
    queries_ptr = qkv_ptr + start.to(tl.int64) * (3 * width) + head * head_dim
    keys_ptr = queries_ptr + width
    values_ptr = keys_ptr + width
    out = out_ptr + start.to(tl.int64) * width + head * head_dim
    slope = 0.0
    if slopes_ptr is not None:
        slope = tl.load(slopes_ptr + head) * 1.4426950408889634
    return head, length, queries_ptr, keys_ptr, values_ptr, out, slope


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
        key_first = _load_tile(keys_ptr, token, stride, length, half, block_half)
        key_second = _load_tile(keys_ptr + half, token, stride, length, half, block_half)
        if with_queries:
            query_first = _load_tile(queries_ptr, token, stride, length, half, block_half).to(tl.float32)
            query_second = _load_tile(queries_ptr + half, token, stride, length, half, block_half).to(tl.float32)
            query_first, query_second = query_first * scale, query_second * scale
        if cos_ptr is not None:
            # Queries and keys of a tile have the same positions: the tables are loaded once for both.
            cos = _load_tile(cos_ptr, token, half, length, half, block_half)
            sin = _load_tile(sin_ptr, token, half, length, half, block_half)
            key_first, key_second = _rotate(key_first.to(tl.float32), key_second.to(tl.float32), cos, sin)
            if with_queries:
                query_first, query_second = _rotate(query_first, query_second, cos, sin)
        values += (_load_tile(values_ptr, token, stride, length, head_dim, block_dim),)
        keys += (tl.tuple((key_first.to(dtype).T, key_second.to(dtype).T)),)
        if with_queries:
            queries += (tl.tuple((query_first.to(dtype), query_second.to(dtype))),)
    return queries, keys, values


@jit_unspecialized("spans_ptr", "first_place")
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

    The number of tiles is a constant of the kernel, so that its loops over tiles are unrolled: the scores of a query
    with the whole sequence need no loop, and no tile but the last needs a mask.

    Args:
        out_ptr: Result, (T, heads * head_dim).
        out_scale_ptr: Factors of the channels where the result is fp8, fp32 (heads * head_dim,); otherwise None.
        qkv_ptr: Queries, keys and values, (T, 3, heads, head_dim).
        spans_ptr: Start and length of the sequences, longest first, int32 (B, 2).
        cos_ptr: Cosines, fp32 (positions, head_dim / 2), or None without rotation; `sin_ptr` likewise.
        sin_ptr: see `cos_ptr`.
        slopes_ptr: ALiBi slopes, fp32 (heads,), or None without ALiBi.
        scale: Factor of the queries, times log2(e).
        first_place: Place in `spans_ptr` of the first sequence of this launch.
        heads: Number of heads; the grid has `heads` programs for each sequence of this launch.
        head_dim: Channels of a head.
        block_half: Channels of half a head, padded to a power of two.
        block_dim: Channels of a head, padded to a power of two.
        block: Tokens of a tile.
        tiles: Tiles of each sequence of this launch.
        queries: Tokens whose queries are loaded at a time. None: all at the start, with the tables of their keys.
        overlapped: Whether launches of a batch run into one another, see `_let_next_begin`.
    """
    _let_next_begin(overlapped)
    head, length, queries_ptr, keys_ptr, values_ptr, out, slope = _locate(
        out_ptr, qkv_ptr, spans_ptr, slopes_ptr, first_place, heads, head_dim
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
            _finish(out, out_scale_ptr, result, total, rows, length, width, head_dim, block_dim)
    else:
        for first_row in tl.range(0, length, queries, num_stages=1):
            rows = first_row + tl.arange(0, queries)
            query = _load_queries(queries_ptr, cos_ptr, sin_ptr, scale, rows, length, stride, half, block_half)
            result, total = _resident_queries(
                query, keys, values, rows, length, slope, slopes_ptr is not None, tiles, block
            )
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
        out_ptr: see `resident_kernel`, as are the other pointers, `scale`, the sizes and `overlapped`.
        stages: Buffers for tiles of keys and values.
    """
    _let_next_begin(overlapped)
    head, length, queries_ptr, keys_ptr, values_ptr, out, slope = _locate(
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
        query = _load_queries(queries_ptr, cos_ptr, sin_ptr, scale, rows, length, stride, half, block_half)
        highest = tl.full([block], -float("inf"), tl.float32)
        total = tl.zeros([block], tl.float32)
        result = tl.zeros([block, block_dim], tl.float32)
        for column in tl.range(0, whole_tiles, block, num_stages=stages):
            columns = column + tl.arange(0, block)
            # A bound that is never reached: the tile is whole, and its loads need no mask by row.
            key_first = _load_tile(keys_ptr, columns, stride, column + block, half, block_half)
            key_second = _load_tile(keys_ptr + half, columns, stride, column + block, half, block_half)
            value = _load_tile(values_ptr, columns, stride, column + block, head_dim, block_dim)
            key = key_first.T, key_second.T
            scores = _scores(query, key, rows, columns, length, slope, slopes_ptr is not None, False)
            highest, total, result = _accumulate(scores, value, highest, total, result, False)
        if whole_tiles < length:
            columns = whole_tiles + tl.arange(0, block)
            key_first = _load_tile(keys_ptr, columns, stride, length, half, block_half)
            key_second = _load_tile(keys_ptr + half, columns, stride, length, half, block_half)
            value = _load_tile(values_ptr, columns, stride, length, head_dim, block_dim)
            key = key_first.T, key_second.T
            scores = _scores(query, key, rows, columns, length, slope, slopes_ptr is not None, True)
            highest, total, result = _accumulate(scores, value, highest, total, result, False)
        _finish(out, out_scale_ptr, result, total, rows, length, width, head_dim, block_dim)
    _end_after_previous(overlapped)
