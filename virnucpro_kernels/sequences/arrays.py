"""Types of arrays, and many sequences in one flat array: the form in which the stages read and hand on sequences."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

Int64s = npt.NDArray[np.int64]
Uint8s = npt.NDArray[np.uint8]
Float64s = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_URACIL, _THYMINE = b"Uu", b"Tt"


@dataclass(frozen=True, eq=False)
class SequenceArray:
    """ASCII sequences of different lengths, one after another without separators.

    Attributes:
        data: Characters of all sequences, uint8 (total,).
        offsets: Starts of the sequences and the total, int64 (n + 1,): sequence `i` is
            `data[offsets[i]:offsets[i + 1]]`.
    """

    data: Uint8s
    offsets: Int64s

    @classmethod
    def from_list(cls, sequences: Sequence[bytes]) -> Self:
        """Join `sequences` in their order."""
        return cls.from_lengths(b"".join(sequences), map(len, sequences), len(sequences))

    @classmethod
    def from_lengths(cls, joined: bytes, lengths: Iterable[int], count: int = -1) -> Self:
        """Take `joined` as sequences of `lengths`.

        Args:
            joined: Characters of all sequences.
            lengths: Number of characters of each sequence.
            count: Number of sequences, if it is known.

        Raises:
            ValueError: the lengths do not sum to that of `joined`.
        """
        ends = np.cumsum(np.fromiter(lengths, np.int64, count))
        offsets = np.concatenate([np.zeros(1, np.int64), ends])
        if offsets[-1] != len(joined):
            raise ValueError(f"{len(joined)} characters for sequences of {offsets[-1]} in all")
        return cls(np.frombuffer(joined, np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> bytes:
        """Return sequence `index`, counted from 0 or, if negative, from the end."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"sequence {index} of {len(self)}")
        index %= len(self)
        return self.data[self.offsets[index] : self.offsets[index + 1]].tobytes()

    def __iter__(self) -> Iterator[bytes]:
        joined, offsets = self.data.tobytes(), self.offsets.tolist()
        return (joined[start:end] for start, end in pairwise(offsets))

    @classmethod
    def from_arrow(cls, sequences: "pa.LargeBinaryArray") -> Self:
        """Take the sequences of an Arrow array without nulls that begins at its buffers' start; nothing is copied."""
        _, offset_buffer, data = sequences.buffers()
        if not len(sequences):
            return cls.from_list([])
        offsets = np.frombuffer(offset_buffer, np.int64, len(sequences) + 1)
        return cls(np.frombuffer(data, np.uint8, offsets[-1]), offsets)

    def to_arrow(self) -> "pa.LargeBinaryArray":
        """Return the same sequences as an Arrow array; nothing is copied."""
        import pyarrow as pa  # not at the start of every process of `split`

        buffers = [None, pa.py_buffer(self.offsets), pa.py_buffer(self.data)]
        return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(self), buffers)

    def holds_uracil(self) -> Bools:
        """Return whether each sequence holds a U in either case, that is, whether it is RNA, bool (n,)."""
        found = np.zeros(len(self), np.bool_)
        text = self.data.tobytes()
        if any(letter in text for letter in _URACIL):
            places = np.flatnonzero((self.data == _URACIL[0]) | (self.data == _URACIL[1]))
            found[np.searchsorted(self.offsets, places, side="right") - 1] = True
        return found

    def as_dna(self) -> "SequenceArray":
        """Return the sequences with T for each U; this array itself where there is none."""
        text = self.data.tobytes()
        if all(letter not in text for letter in _URACIL):
            return self
        translated = text.translate(bytes.maketrans(_URACIL, _THYMINE))
        return SequenceArray(np.frombuffer(translated, np.uint8), self.offsets)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Number of characters of each sequence, int64 (n,)."""
        return np.diff(self.offsets)

    def slice(self, start: int, stop: int) -> "SequenceArray":
        """Return the sequences `start` to `stop` as views: only the offsets are copied."""
        offsets = self.offsets[start : stop + 1]
        return SequenceArray(self.data[offsets[0] : offsets[-1]], offsets - offsets[0])

    def take(self, numbers: Int64s) -> "SequenceArray":
        """Return a copy of the sequences with these numbers, int64 (k,), in their order."""
        return SequenceArray.from_arrow(self.to_arrow().take(numbers))
