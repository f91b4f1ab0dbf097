"""The manifest of a pool, `chunks.tsv`: what each chunk holds. Standard library only, for the workflow reads it."""

import csv
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.files import atomic_path


@dataclass(frozen=True)
class Chunk:
    """A set of frames of similar length: the unit of one GPU job and of resuming.

    Attributes:
        chunk: its name, digits: `00000`.
        rows: frames.
        protein_tokens: tokens of the protein encoder, exactly: residues + 2 a frame.
        nucleotide_tokens: tokens of the nucleotide encoder, estimated from the lengths.
        min_residues: length of the shortest protein.
        max_residues: length of the longest protein.
        nucleotide_sha256: checksum of `chunks/{chunk}.fna`.
        protein_sha256: checksum of `chunks/{chunk}.faa`.
        geometry: window length and layout, as in `500-original`; the same for all chunks of a pool.
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


_COLUMNS = [field.name for field in fields(Chunk)]


def write_manifest(path: Path, chunks: Iterable[Chunk]) -> None:
    """Write `chunks` as a tab-separated table with a header; only the header where there are none."""
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(map(astuple, chunks))


def _chunk(name: str, rows: str, tokens: str, estimate: str, shortest: str, longest: str, *texts: str) -> Chunk:
    nucleotide_sha256, protein_sha256, geometry = texts
    return Chunk(
        name,
        int(rows),
        int(tokens),
        int(estimate),
        int(shortest),
        int(longest),
        nucleotide_sha256,
        protein_sha256,
        geometry,
    )


def read_manifest(path: Path) -> list[Chunk]:
    """Return the chunks of a manifest in its order.

    Raises DamagedFileError where the columns are not those of `Chunk` or a value is not of its type.
    """
    with path.open(newline="") as file:
        lines = list(csv.reader(file, delimiter="\t"))
    if not lines or lines[0] != _COLUMNS:
        raise DamagedFileError(f"{path}: not a manifest of chunks; remove it, and the next start writes it anew")
    try:
        return [_chunk(*line) for line in lines[1:]]
    except (TypeError, ValueError) as error:
        raise DamagedFileError(
            f"{path}: damaged manifest ({error}); remove it, and the next start writes it anew"
        ) from error


#: The checksums of all that a pool's tables are made from, beside its scores; written once all of it is there.
GATHERED = "gathered.sha256"
