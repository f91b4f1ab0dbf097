"""Steps of both attention kernels on a tile of tokens: load and store, rotate, score, online softmax.

One program computes one head of one sequence. Scores are in units of log2, so that softmax is `exp2`; statistics are
fp32. Queries are scaled and rotated in fp32 and rounded once.

A head of D channels is handled as two halves, because rotation mixes channel c with c + D/2: the score of two tokens
is the sum of two products. Halves are padded with zeros to a power of two, at least 16.
"""

from __future__ import annotations

from virnucpro_kernels.ops.jit import jit, tl


@jit
def load_tile(
    base: tl.tensor, rows: tl.tensor, stride: tl.constexpr, length: tl.tensor, width: tl.constexpr, block: tl.constexpr
) -> tl.tensor:
    """Return some rows of a matrix with `width` columns, zero outside of it: (rows, block)."""
    columns = tl.arange(0, block)
    inside = (rows < length)[:, None]
    if width != block:
        inside = inside & (columns < width)[None, :]
    return tl.load(base + rows[:, None] * stride + columns[None, :], mask=inside, other=0.0)


@jit
def store_tile(
    base: tl.tensor,
    tile: tl.tensor,
    rows: tl.tensor,
    stride: tl.constexpr,
    length: tl.tensor,
    width: tl.constexpr,
    block: tl.constexpr,
) -> None:
    """Write some rows of a matrix with `width` columns in its type."""
    columns = tl.arange(0, block)
    inside = (rows < length)[:, None]
    if width != block:
        inside = inside & (columns < width)[None, :]
    tl.store(base + rows[:, None] * stride + columns[None, :], tile.to(base.dtype.element_ty), mask=inside)


@jit
def rotate(first: tl.tensor, second: tl.tensor, cos: tl.tensor, sin: tl.tensor) -> tl.tuple:
    """Rotate channels of the first half of a head with those of the second."""
    return first * cos - second * sin, second * cos + first * sin


@jit
def score_tile(
    query: tl.tuple,
    key: tl.tuple,
    rows: tl.tensor,
    columns: tl.tensor,
    length: tl.tensor,
    slope: tl.tensor,
    alibi: tl.constexpr,
    masked: tl.constexpr,
) -> tl.tensor:
    """Return the scores of queries `rows` and keys `columns`, both as two halves; keys come transposed."""
    scores = tl.dot(query[0], key[0], input_precision="ieee")
    scores = tl.dot(query[1], key[1], acc=scores, input_precision="ieee")
    if alibi:
        scores -= slope * tl.abs(rows[:, None] - columns[None, :]).to(tl.float32)
    if masked:
        scores = tl.where((columns < length)[None, :], scores, -float("inf"))
    return scores


@jit
def accumulate(
    scores: tl.tensor, values: tl.tensor, highest: tl.tensor, total: tl.tensor, result: tl.tensor, first: tl.constexpr
) -> tl.tuple:
    """Take one step of online softmax: update row maxima, row sums and weighted values of all scores so far."""
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
def finish(
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
    """Divide weighted values by the sums of their weights and write them, scaled where the result is fp8."""
    result = result * (1.0 / total)[:, None]
    if out_scale_ptr is not None:
        channels = tl.arange(0, block_dim)
        result *= tl.load(out_scale_ptr + channels, mask=channels < head_dim, other=0.0)[None, :]
    store_tile(out, result, rows, width, length, head_dim, block_dim)


@jit
def let_next_begin(overlapped: tl.constexpr) -> None:
    """Let the next of the launches that share a batch fill the multiprocessors that this one leaves idle at its end.

    Each has sequences of its own, so they need not wait for one another, as long as `end_after_previous` ends them in
    order. `overlapped` is for compute capability 9.0 and newer.
    """
    if overlapped:
        tl.extra.cuda.gdc_launch_dependents()


@jit
def end_after_previous(overlapped: tl.constexpr) -> None:
    """Wait for the launch before, so that the end of the last launch is the end of all of them."""
    if overlapped:
        tl.extra.cuda.gdc_wait()


@jit
def locate(
    out_ptr: tl.tensor,
    qkv_ptr: tl.tensor,
    spans_ptr: tl.tensor,
    slopes_ptr: tl.tensor,
    first_sequence: tl.tensor,
    heads: tl.constexpr,
    head_dim: tl.constexpr,
) -> tl.tuple:
    """Find the head and the sequence of this program. The heads of a sequence are neighbouring programs.

    Returns:
        Number of the head; length of the sequence; pointers to the first token's query, key, value and result of this
        head; the head's ALiBi slope in units of log2, 0 without ALiBi.
    """
    head = tl.program_id(0) % heads
    sequence = first_sequence + tl.program_id(0) // heads
    start = tl.load(spans_ptr + 2 * sequence)
    length = tl.load(spans_ptr + 2 * sequence + 1)

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
def load_rotated(
    base: tl.tensor,
    cos_ptr: tl.tensor,
    sin_ptr: tl.tensor,
    scale: tl.tensor,
    rows: tl.tensor,
    length: tl.tensor,
    stride: tl.constexpr,
    half: tl.constexpr,
    block_half: tl.constexpr,
) -> tl.tuple:
    """Return both halves of some queries or keys, scaled and rotated, in their type."""
    first = load_tile(base, rows, stride, length, half, block_half).to(tl.float32) * scale
    second = load_tile(base + half, rows, stride, length, half, block_half).to(tl.float32) * scale
    if cos_ptr is not None:
        cos = load_tile(cos_ptr, rows, half, length, half, block_half)
        sin = load_tile(sin_ptr, rows, half, length, half, block_half)
        first, second = rotate(first, second, cos, sin)
    return first.to(base.dtype.element_ty), second.to(base.dtype.element_ty)
