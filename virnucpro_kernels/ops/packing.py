"""Packing sequences of tokens into batches without padding: one flat tensor and the offsets of its sequences."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

#: Tokens of a batch on a CPU are padded to a multiple of this. For fewer rows, or an odd number of them, the BLAS may
#: choose another kernel, which changes the last digits of a product.
PADDING_MULTIPLE = 64

IntArray = npt.NDArray[np.integer]


@dataclass(frozen=True)
class TokenArray:
    """Tokenised sequences, ragged: sequence i is `tokens[offsets[i] : offsets[i + 1]]`, special tokens included.

    Attributes:
        tokens: Token numbers of all sequences end to end, uint8 or uint16 (total,).
        offsets: Starts of the sequences and the total, int64 (n + 1,).
    """

    tokens: npt.NDArray[np.unsignedinteger]
    offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each sequence, int64 (n,)."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class PackedBatch:
    """Input of a forward pass: all sequences of a batch end to end.

    Tokens behind `cu_seqlens[-1]` are padding that makes up a fixed shape. They belong to no sequence; the output of a
    model for them is undefined and is not read.

    Attributes:
        tokens: Token numbers, int32 (T,).
        cu_seqlens: Borders of the sequences, int32 (B + 1,), from 0.
        positions: Position of each token in its sequence, int32 (T,), from 0.
        spans: Start and length of the sequences, int32 (B, 2), the longest first.
        lengths: Number of tokens of each sequence, int64 (B,), on the host: nothing has to wait for the device.
    """

    tokens: torch.Tensor
    cu_seqlens: torch.Tensor
    positions: torch.Tensor
    spans: torch.Tensor
    lengths: npt.NDArray[np.int64]

    @cached_property
    def max_length(self) -> int:
        """Tokens of the longest sequence."""
        return int(self.lengths.max(initial=0))

    def to(self, device: torch.device | str) -> "PackedBatch":
        """Return the batch with its tensors on `device`."""
        tensors = (self.tokens, self.cu_seqlens, self.positions, self.spans)
        tokens, cu_seqlens, positions, spans = (tensor.to(device) for tensor in tensors)
        return PackedBatch(tokens, cu_seqlens, positions, spans, self.lengths)


def plan_batches(lengths: IntArray, budget: int) -> list[slice]:
    """Divide sequences into batches of neighbours with at most `budget` tokens each: next fit in order of arrival.

    Args:
        lengths: Number of tokens of each sequence, (n,).
        budget: Largest number of tokens of a batch. A longer sequence has a batch of its own.

    Returns:
        Slices of the sequences, in order, none empty.
    """
    if budget < 1:
        raise ValueError(f"a token budget must be positive, not {budget}")
    ends = np.cumsum(lengths, dtype=np.int64)
    batches, start, used = [], 0, 0
    while start < len(ends):
        stop = max(int(np.searchsorted(ends, used + budget, side="right")), start + 1)
        batches.append(slice(start, stop))
        start, used = stop, int(ends[stop - 1])
    return batches


def utilisation(lengths: IntArray, batches: list[slice], budget: int) -> float:
    """Return the fraction of the token budget that holds tokens (0 to 1; more where a sequence exceeds the budget)."""
    return float(np.sum(lengths)) / (budget * len(batches)) if batches else 1.0


def pack(sequences: TokenArray, batch: slice, *, total_tokens: int | None = None) -> PackedBatch:
    """Pack the sequences of `batch`, a slice of neighbours, on the host.

    Args:
        sequences: All tokenised sequences.
        batch: Slice of them, as `plan_batches` returns it.
        total_tokens: Number of tokens to pad to, no less than the batch has.

    Raises:
        ValueError: the batch is larger than the number to pad to.
    """
    offsets = sequences.offsets[batch.start : batch.stop + 1]
    cu_seqlens, lengths = offsets - offsets[0], np.diff(offsets)
    padding = 0 if total_tokens is None else total_tokens - int(cu_seqlens[-1])
    if padding < 0:
        raise ValueError(f"{len(lengths)} sequences of {cu_seqlens[-1]} tokens do not fit into {total_tokens}")

    positions = np.arange(cu_seqlens[-1]) - np.repeat(cu_seqlens[:-1], lengths)
    spans = np.stack([cu_seqlens[:-1], lengths], axis=1)[np.argsort(-lengths, kind="stable")]
    return PackedBatch(
        tokens=_int32(np.pad(sequences.tokens[offsets[0] : offsets[-1]], (0, padding))),
        cu_seqlens=_int32(cu_seqlens),
        positions=_int32(np.pad(positions, (0, padding))),
        spans=_int32(spans),
        lengths=lengths,
    )


def _int32(values: IntArray) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.int32))


def batch_of(lengths: Sequence[int] | IntArray, device: torch.device, *, padding_tokens: int = 0) -> PackedBatch:
    """Return one batch of sequences of these lengths on the device; all tokens are 0, for what does not read them."""
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    tokens = TokenArray(np.zeros(offsets[-1], np.uint8), offsets)
    return pack(tokens, slice(0, len(tokens)), total_tokens=int(offsets[-1]) + padding_tokens).to(device)
