"""Canonical k-mers of sequences as numbers."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from virnucpro_kernels.sequences.arrays import Bools, Uint8s

#: Letters of a k-mer.
K = 21

Uint64s = npt.NDArray[np.uint64]

_AT_ONCE = 1 << 20
_OTHER = 4
_CODES = np.full(256, _OTHER, np.uint8)
for _code, _letters in enumerate(("Aa", "Cc", "Gg", "TtUu")):
    _CODES[[ord(letter) for letter in _letters]] = _code


def canonical_kmers(bases: Uint8s) -> tuple[Uint64s, Bools]:
    """Return the k-mer that begins at each base, the smaller one of both strands, and which are of A, C, G and T alone.

    Args:
        bases: Sequences in ASCII, uint8 (n,), with another letter between two of them.

    Returns:
        K-mers with two bits a base, uint64 (n - K + 1,), and whether each counts, bool (n - K + 1,).
    """
    kmers = np.empty(max(len(bases) - K + 1, 0), np.uint64)
    counts = np.empty(len(kmers), np.bool_)
    for first in range(0, len(kmers), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        codes = _CODES[bases[first : first + _AT_ONCE + K - 1]]
        others = np.cumsum(np.concatenate([[0], codes == _OTHER]))
        counts[part] = others[K:] == others[:-K]
        letters = (codes & 3).astype(np.uint64)
        forward = _joined(letters, lambda head, tail, _, size: head << 2 * size | tail)
        reverse = _joined(3 - letters, lambda head, tail, size, _: tail << 2 * size | head)
        kmers[part] = np.minimum(forward, reverse)
    return kmers, counts


def _joined(letters: Uint64s, join: Callable[[Uint64s, Uint64s, np.uint64, np.uint64], Uint64s]) -> Uint64s:
    """Return the k-mer at each base from shorter ones: of 1, 2, 4, 5, 10, 20 and 21 letters.

    `join` takes the k-mers at some bases, those that follow them, and the numbers of letters of both.
    """
    head, size = letters, 1
    for grown in (2, 4, 5, 10, 20, K):
        tail = letters if grown - size == 1 else head
        tail = tail[size:]
        length = min(len(head), len(tail))
        head = join(head[:length], tail[:length], np.uint64(size), np.uint64(grown - size))
        size = grown
    return head


def joined_blocks(sequences: Iterable[bytes], block: int) -> Iterator[tuple[list[int], Uint8s]]:
    """Yield sequences joined with `N` between them, some `block` bases at a time, with the number of each in its block.

    Sequences longer than `block` are yielded whole.

    Yields:
        Places where the sequences begin, and the end; and the bases, uint8.
    """
    held: list[bytes] = []
    size = 0
    for sequence in sequences:
        if held and size + len(sequence) > block:
            yield _join(held)
            held, size = [], 0
        held.append(sequence)
        size += len(sequence) + 1
    if held:
        yield _join(held)


def _join(sequences: list[bytes]) -> tuple[list[int], Uint8s]:
    starts = np.cumsum([0, *(len(sequence) + 1 for sequence in sequences)]).tolist()
    return starts, np.frombuffer(b"N".join([*sequences, b""]), np.uint8)
