"""Reading vectors with their frames' IDs, from our HDF5 files and from the original's `.pt` files alike."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.pool.chunk_fasta import read_frames
from virnucpro_kernels.pool.embedding_file import EmbeddingReader
from virnucpro_kernels.pool.file_names import CHUNKS
from virnucpro_kernels.pool.provenance import Provenance
from virnucpro_kernels.sequences.arrays import Int64s

SUFFIXES = (".h5", ".pt")

Vectors = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class StoredVectors:
    """Vectors of one of our HDF5 files.

    Attributes:
        path: File of the vectors.
        reader: Reader of the open file.
    """

    path: Path
    reader: EmbeddingReader

    @property
    def provenance(self) -> Provenance:
        """Provenance of the vectors."""
        return self.reader.provenance

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self.provenance.dimension

    def __len__(self) -> int:
        return len(self.reader)

    def read(self, places: Int64s) -> Vectors:
        """Return the vectors (m, d) at `places` (m,); reads all from the first to the last of them."""
        first = int(places.min())
        return self.reader.read(first, int(places.max()) + 1)[places - first]

    def names(self) -> list[str] | None:
        """Return the frames' IDs from the FASTA file of the chunk two folders up; None where there is none."""
        chunks = self.path.resolve().parent.parent / CHUNKS
        fna, faa = (chunks / f"{self.provenance.chunk}{suffix}" for suffix in (".fna", ".faa"))
        if not (fna.exists() and faa.exists()):
            return None
        frames = read_frames(fna, faa)
        if not np.array_equal(frames.rows, self.reader.rows):
            raise DamagedFileError(f"{self.path}: other rows than {fna} has; one of them is of another run")
        return frames.ids


@dataclass(frozen=True, eq=False)
class OriginalVectors:
    """Vectors of one of the original's files.

    Attributes:
        path: File of the vectors.
        ids: IDs of the frames.
        vectors: Vectors of the frames, float32 (n, d).
    """

    path: Path
    ids: list[str]
    vectors: npt.NDArray[np.float32]

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self.vectors.shape[1])

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, places: Int64s) -> Vectors:
        """Return the vectors (m, d) at `places` (m,)."""
        return self.vectors[places]


VectorFile = StoredVectors | OriginalVectors


@contextmanager
def open_vectors(path: Path) -> Iterator[VectorFile]:
    """Open a file by its suffix, `.h5` or `.pt`.

    Raises:
        DamagedFileError: the file is damaged or holds no vectors.
    """
    if path.suffix == ".h5":
        with EmbeddingReader(path) as reader:
            yield StoredVectors(path, reader)
    else:
        from virnucpro_kernels.tools.original_embeddings import read_original_embeddings

        content = read_original_embeddings(path)
        yield OriginalVectors(path, content.ids, content.vectors)


def common_names(a: VectorFile, b: VectorFile) -> tuple[list[str], list[str]]:
    """Return names that tell which vectors of two files are of the same frame.

    The names are the original's IDs where both files know them, else row numbers, which stand for the same frame only
    in files of one chunk.

    Raises:
        DamagedFileError: the IDs are not known, and the files are not of one chunk.
    """
    names_a, names_b = (file.ids if isinstance(file, OriginalVectors) else file.names() for file in (a, b))
    if names_a is not None and names_b is not None:
        return names_a, names_b
    if isinstance(a, StoredVectors) and isinstance(b, StoredVectors) and _chunk(a) == _chunk(b):
        return list(map(str, a.reader.rows.tolist())), list(map(str, b.reader.rows.tolist()))
    unknown = a.path if names_a is None else b.path
    raise DamagedFileError(
        f"{unknown}: the IDs of its frames are not known: there is no ../chunks folder beside it with the FASTA of its"
        " chunk, and the other file is not of the same chunk"
    )


def _chunk(file: StoredVectors) -> tuple[str, str]:
    return file.provenance.nucleotide_fasta_sha256, file.provenance.protein_fasta_sha256
