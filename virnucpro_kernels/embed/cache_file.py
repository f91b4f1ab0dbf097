"""One file of the embedding cache: vectors that are found by the digests of their sequences, one at a time.

It is an HDF5 file with `digest` uint64 (n, 2), the sequences' BLAKE2b of 128 bits, ascending; `position` int64 (n,),
the row of each one's vector; `crc32` uint32 (n,), the checksum of that; and `embedding` (n, d), in one piece on the
disk, so that any row can be read alone.
"""

import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.pool.disk import Disk
from virnucpro_kernels.pool.embedding_file import Vectors
from virnucpro_kernels.sequences.arrays import Int64s, SequenceArray

#: Threads that read vectors, so that the waiting times of a network file system pass side by side.
_READERS = 8

Digests = npt.NDArray[np.uint64]


def digests_of(sequences: SequenceArray) -> Digests:
    """Return the digest of each sequence, uint64 (n, 2)."""
    joined = b"".join(hashlib.blake2b(sequence, digest_size=16).digest() for sequence in sequences)
    return np.frombuffer(joined, np.uint64).reshape(-1, 2)


def write(path: Path, digests: Digests, blocks: Iterable[Vectors], dimension: int, dtype: npt.DTypeLike) -> None:
    """Write a file of the cache.

    Args:
        path: File to write, not atomically.
        digests: Digests of the sequences, (n, 2), no two alike.
        blocks: Their vectors in this order, (m, d) at a time.
        dimension: Number of values of a vector, d.
        dtype: Type of the vectors.

    Raises:
        OSError: the file cannot be written.
    """
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    checksums: list[int] = []
    with Disk(path, "w+") as disk:
        with h5py.File(disk, "w", libver=("v110", "v110")) as file:
            embedding = file.create_dataset("embedding", (len(digests), dimension), dtype, track_times=False)
            for block in blocks:
                embedding[len(checksums) : len(checksums) + len(block)] = block
                checksums += [zlib.crc32(vector) for vector in block]
                disk.check()
            index = {
                "digest": digests[order],
                "position": order.astype(np.int64),
                "crc32": np.array(checksums, np.uint32)[order],
            }
            for name, values in index.items():
                file.create_dataset(name, data=values, chunks=True, fletcher32=True, track_times=False)
        disk.check()


def find(path: Path, wanted: Digests) -> tuple[Int64s, Vectors]:
    """Read the vectors of those of the digests `wanted`, (m, 2), that a file has.

    Returns:
        Positions of these digests in `wanted`, int64 (k,), ascending, and their vectors, (k, d).

    Raises:
        DamagedFileError: the file is damaged.
        FileNotFoundError: there is no such file any more.
        OSError: the file cannot be opened or read, which says nothing about what it holds.
    """
    with path.open("rb", buffering=0) as raw, _damage(path):
        with h5py.File(raw, "r") as file:
            digests = file["digest"][:]
            places = np.searchsorted(digests[:, 0], wanted[:, 0])
            places[places == len(digests)] = 0
            hits = np.flatnonzero((digests[places] == wanted).all(axis=1))
            entries = places[hits]
            positions, checksums = file["position"][:][entries], file["crc32"][:][entries]
            embedding = file["embedding"]
            vectors: Vectors = np.empty((len(hits), embedding.shape[1]), embedding.dtype)
            start = embedding.id.get_offset()
        _read_rows(raw.fileno(), start, positions, checksums, vectors, path)
    return hits, vectors


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Convert the exceptions for a damaged file into DamagedFileError; errors of the operating system have a number."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DamagedFileError(f"{path}: this is not a whole file of the cache ({error})") from error


def _read_rows(
    descriptor: int, start: int, positions: Int64s, checksums: npt.NDArray[Any], vectors: Vectors, path: Path
) -> None:
    """Fill `vectors` with the rows at `positions` of the dataset that begins at byte `start`."""
    if not len(vectors):
        return
    row_bytes = vectors.shape[1] * vectors.itemsize
    rows = vectors.view(np.uint8)
    in_order = np.argsort(positions)

    def read(numbers: Int64s) -> None:
        for number in numbers.tolist():
            got = os.preadv(descriptor, [rows[number]], start + int(positions[number]) * row_bytes)
            if got != row_bytes or zlib.crc32(rows[number]) != checksums[number]:
                raise DamagedFileError(f"{path}: a vector does not have its checksum")

    with ThreadPoolExecutor(_READERS, thread_name_prefix="cache") as threads:
        for done in [threads.submit(read, numbers) for numbers in np.array_split(in_order, _READERS)]:
            done.result()
