"""Rows in kernels that compute whole ones: a row as one or two blocks whose sizes are powers of two, and fp8 output.

Triton's blocks are powers of two and the widths of the models are not (2560, 10240, 768): one padded block would waste
up to half of the arithmetic. Two blocks, the largest power of two within the width and one for the rest, waste little.
"""

from __future__ import annotations

from virnucpro_kernels.ops.jit import constant, jit, tl


@constant
def main_block(width: int) -> int:
    """Size of the first block of a row of `width` numbers."""
    return 1 << (width.bit_length() - 1)


@constant
def tail_block(width: int) -> int:
    """Size of the second block of a row of `width` numbers; 0 where there is none."""
    rest = width - main_block(width)
    return 1 << (rest - 1).bit_length() if rest else 0


@jit
def load_row(pointer: tl.tensor, width: tl.constexpr) -> tl.tuple:
    """A row as fp32 blocks, one or two, zero behind its end."""
    blocks = tl.tuple((tl.load(pointer + tl.arange(0, main_block(width))).to(tl.float32),))
    if tail_block(width) != 0:
        columns = main_block(width) + tl.arange(0, tail_block(width))
        blocks += (tl.load(pointer + columns, mask=columns < width, other=0.0).to(tl.float32),)
    return blocks


@jit
def add_rows(blocks: tl.tuple, others: tl.tuple, width: tl.constexpr) -> tl.tuple:
    """Sum of two rows."""
    total = tl.tuple((blocks[0] + others[0],))
    if tail_block(width) != 0:
        total += (blocks[1] + others[1],)
    return total


@jit
def store_row(pointer: tl.tensor, blocks: tl.tuple, width: tl.constexpr) -> None:
    """Write a row in the type of `pointer`."""
    tl.store(pointer + tl.arange(0, main_block(width)), blocks[0].to(pointer.dtype.element_ty))
    if tail_block(width) != 0:
        columns = main_block(width) + tl.arange(0, tail_block(width))
        tl.store(pointer + columns, blocks[1].to(pointer.dtype.element_ty), mask=columns < width)


@jit
def store_row_fp8(pointer: tl.tensor, scale_pointer: tl.tensor, blocks: tl.tuple, width: tl.constexpr) -> None:
    """Write a row as e4m3, and the factor that restores it. Blocks must be zero behind the row's end."""
    highest = tl.max(tl.abs(blocks[0]), 0)
    if tail_block(width) != 0:
        highest = tl.maximum(highest, tl.max(tl.abs(blocks[1]), 0))
    highest = tl.maximum(highest, 1e-12)
    factor = 448.0 / highest
    tl.store(scale_pointer, highest / 448.0)
    scaled = tl.tuple((blocks[0] * factor,))
    if tail_block(width) != 0:
        scaled += (blocks[1] * factor,)
    store_row(pointer, scaled, width)


@jit
def normalize_row(
    blocks: tl.tuple, weight_ptr: tl.tensor, bias_ptr: tl.tensor, eps: tl.tensor, width: tl.constexpr
) -> tl.tuple:
    """LayerNorm of one row in fp32: first its mean, then the variance around it."""
    total = tl.sum(blocks[0], 0)
    if tail_block(width) != 0:
        total += tl.sum(blocks[1], 0)
    mean = total / width
    centred = tl.tuple((blocks[0] - mean,))
    squares = tl.sum(centred[0] * centred[0], 0)
    if tail_block(width) != 0:
        columns = main_block(width) + tl.arange(0, tail_block(width))
        rest = tl.where(columns < width, blocks[1] - mean, 0.0)
        squares += tl.sum(rest * rest, 0)
        centred += (rest,)
    scale = tl.rsqrt(squares / width + eps)
    weights = load_row(weight_ptr, width)
    biases = load_row(bias_ptr, width)
    normed = tl.tuple((centred[0] * scale * weights[0] + biases[0],))
    if tail_block(width) != 0:
        normed += (centred[1] * scale * weights[1] + biases[1],)
    return normed
