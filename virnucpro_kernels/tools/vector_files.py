"""Reading vectors with their frames' IDs, from our HDF5 files and from the original's `.pt` files alike."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.pool.chunk_fasta import read_frames
from virnucpro_kernels.pool.embedding_file import EmbeddingReader, Vectors
from virnucpro_kernels.pool.file_names import CHUNKS, FASTA_SUFFIXES
from virnucpro_kernels.sequences.arrays import Int64s

SUFFIXES = (".h5", ".pt")


@dataclass(frozen=True, eq=False)
class VectorFile:
    """Vectors of an open file, and what tells their frames.

    Attributes:
        path: File of the vectors.
        dimension: Length of a vector.
        read: Function that returns the vectors (m, d) at positions (m,).
        ids: IDs of the frames; None where they are not known.
        rows: Rows of the frames in their pool as text; empty for the original's files.
        chunk: Checksums of both FASTA files of the chunk; None for the original's files.
    """

    path: Path
    dimension: int
    read: Callable[[Int64s], Vectors]
    ids: list[str] | None
    rows: list[str] = field(default_factory=list)
    chunk: tuple[str, str] | None = None


@contextmanager
def open_vectors(path: Path) -> Iterator[VectorFile]:
    """Open a file by its suffix, `.h5` or `.pt`.

    Raises:
        DamagedFileError: the file is damaged or holds no vectors.
    """
    if path.suffix == ".h5":
        with EmbeddingReader(path) as reader:
            made = reader.provenance
            rows = list(map(str, reader.rows.tolist()))
            chunk = made.nucleotide_fasta_sha256, made.protein_fasta_sha256
            yield VectorFile(path, made.dimension, partial(_read, reader), _stored_ids(reader), rows, chunk)
    else:
        from virnucpro_kernels.tools.original_embeddings import read_original_embeddings

        content = read_original_embeddings(path)
        yield VectorFile(path, content.vectors.shape[1], content.vectors.__getitem__, content.ids)


def _read(reader: EmbeddingReader, positions: Int64s) -> Vectors:
    """Return the vectors (m, d) at `positions` (m,); reads all from the first to the last of them."""
    first = int(positions.min())
    return reader.read(first, int(positions.max()) + 1)[positions - first]


def _stored_ids(reader: EmbeddingReader) -> list[str] | None:
    """Return the frames' IDs from the FASTA file of the chunk two folders up; None where there is none."""
    chunks = reader.path.resolve().parent.parent / CHUNKS
    fna, faa = (chunks / f"{reader.provenance.chunk}{suffix}" for suffix in FASTA_SUFFIXES)
    if not (fna.exists() and faa.exists()):
        return None
    frames = read_frames(fna, faa)
    if not np.array_equal(frames.rows, reader.rows):
        raise DamagedFileError(f"{reader.path} has other rows than {fna}; one of them is of another run")
    return frames.ids


def common_names(a: VectorFile, b: VectorFile) -> tuple[list[str], list[str]]:
    """Return names that tell which vectors of two files are of the same frame.

    The names are the original's IDs where both files know them, else row numbers, which stand for the same frame only
    in files of one chunk.

    Raises:
        DamagedFileError: the IDs are not known, and the files are not of one chunk.
    """
    if a.ids is not None and b.ids is not None:
        return a.ids, b.ids
    if a.chunk is not None and a.chunk == b.chunk:
        return a.rows, b.rows
    unknown = a.path if a.ids is None else b.path
    raise DamagedFileError(
        f"{unknown}: the IDs of its frames are not known: there is no ../chunks folder beside it with the FASTA of its"
        " chunk, and the other file is not of the same chunk"
    )
