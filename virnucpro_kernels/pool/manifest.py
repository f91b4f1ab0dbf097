"""The manifest of a pool, `chunks.tsv`: what each chunk holds. Standard library only, because the workflow reads it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from virnucpro_kernels.errors import REMEDY
from virnucpro_kernels.pool.file_names import record_name
from virnucpro_kernels.pool.job_record import check_output
from virnucpro_kernels.pool.tsv import read_rows, write_rows


@dataclass(frozen=True)
class Chunk:
    """A set of frames of similar length: the unit of one GPU job and of resuming.

    Attributes:
        chunk: Name of the chunk, digits: `00000`.
        rows: Number of frames.
        protein_tokens: Number of tokens of the protein encoder, exactly: residues + 2 a frame.
        nucleotide_tokens: Number of tokens of the nucleotide encoder, estimated from the lengths.
        min_residues: Length of the shortest protein.
        max_residues: Length of the longest protein.
        nucleotide_sha256: Checksum of `chunks/{chunk}.fna`.
        protein_sha256: Checksum of `chunks/{chunk}.faa`.
        geometry: Window length and layout, as in `500-original`; the same for all chunks of a pool.
    """

    chunk: str
    rows: int
    protein_tokens: int
    nucleotide_tokens: int
    min_residues: int
    max_residues: int
    nucleotide_sha256: str
    protein_sha256: str
    geometry: str


def write_manifest(path: Path, chunks: Iterable[Chunk]) -> None:
    """Write the manifest of `chunks`; only the header where there are none."""
    write_rows(path, Chunk, chunks)


def read_manifest(path: Path) -> list[Chunk]:
    """Return the chunks of a manifest in its order.

    Raises:
        DamagedFileError: the file is not what `split` wrote, the columns are not those of `Chunk`, or a value is not of
            its type.
        FileNotFoundError: there is no such file.
    """
    check_output(path, path.parent / record_name("split"))
    return read_rows(path, Chunk, remedy=REMEDY)
