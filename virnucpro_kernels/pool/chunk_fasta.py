"""The pair of FASTA files that holds a chunk: checked against the manifest and read as arrays."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.files import sha256
from virnucpro_kernels.pool.file_names import CHUNKS, FASTA_SUFFIXES
from virnucpro_kernels.pool.manifest import Chunk
from virnucpro_kernels.sequences.arrays import Int64s, SequenceArray, Uint8s


@dataclass(frozen=True, eq=False)
class Frames:
    """The frames of a chunk in ascending order of their rows.

    Attributes:
        rows: Rows of the frames, int64 (n,).
        ids: IDs of the original tool, `contig_chunk_1F1`; for people, not for joining.
        nucleotides, proteins: Sequences of each frame.
    """

    rows: Int64s
    ids: list[str]
    nucleotides: SequenceArray
    proteins: SequenceArray

    def __len__(self) -> int:
        return len(self.rows)


def _read_fasta(path: Path) -> tuple[SequenceArray, SequenceArray]:
    """Read a FASTA file in which every record is two lines.

    Returns:
        Headers, `>` included, and sequences.

    Raises:
        DamagedFileError: the file is missing, truncated or damaged.
    """
    try:
        text = np.fromfile(path, np.uint8)
    except FileNotFoundError as error:
        raise DamagedFileError(f"{path}: the file is missing") from error
    ends = np.flatnonzero(text == ord("\n"))
    if len(ends) % 2 or (len(text) and text[-1] != ord("\n")):
        raise DamagedFileError(f"{path}: the file is truncated")
    lengths = np.diff(ends, prepend=-1) - 1
    firsts = text[ends - lengths]  # first character of each line; of an empty line, its end
    bad = (firsts[0::2] != ord(">")) | (firsts[1::2] == ord(">")) | (lengths[1::2] == 0)
    if bad.any():
        number = int(np.argmax(bad)) + 1
        raise DamagedFileError(f"{path}: the file is damaged at record {number} (line {2 * number - 1})")
    return _every_second(text, lengths, 0), _every_second(text, lengths, 1)


def _every_second(text: Uint8s, lengths: Int64s, first: int) -> SequenceArray:
    """Return every second line of a text.

    Args:
        text: Text, uint8.
        lengths: Lengths of its lines without their ends, int64 (lines,).
        first: Index of the first line to return.
    """
    wanted = np.zeros((len(lengths), 2), bool)  # for each line: its characters, and its end
    wanted[first::2, 0] = True
    pieces = np.stack([lengths, np.ones_like(lengths)], axis=1)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[first::2])])
    return SequenceArray(text[np.repeat(wanted.ravel(), pieces.ravel())], offsets)


def _same(one: SequenceArray, other: SequenceArray) -> bool:
    return np.array_equal(one.offsets, other.offsets) and np.array_equal(one.data, other.data)


def _parse_headers(headers: SequenceArray) -> tuple[Int64s, list[str]]:
    """Return the rows and the IDs from headers `>ROW ID`.

    Raises:
        ValueError: a header is not of that form.
    """
    import pyarrow as pa  # not at the start of every process of `split`
    import pyarrow.compute as pc

    texts = headers.to_arrow().cast(pa.large_string())
    words = pc.split_pattern(pc.utf8_slice_codeunits(texts, 1), " ", max_splits=1)
    if (pc.list_value_length(words).to_numpy() < 2).any():
        raise ValueError("no ID")
    return pc.list_element(words, 0).cast(pa.int64()).to_numpy(), pc.list_element(words, 1).to_pylist()


def read_frames(fna: Path, faa: Path) -> Frames:
    """Read the frames of a chunk from its pair of files.

    Raises:
        DamagedFileError: a file is missing, truncated or damaged, the rows do not ascend, or the two files do not hold
            the same records in the same order.
    """
    headers, nucleotides = _read_fasta(fna)
    other_headers, proteins = _read_fasta(faa)
    if not _same(headers, other_headers):
        pairs = zip(headers, other_headers, strict=False)
        number = next(
            (i for i, (one, other) in enumerate(pairs) if one != other), min(len(headers), len(other_headers))
        )
        raise DamagedFileError(f"{fna} and {faa} do not hold the same frames: they differ from record {number + 1} on")
    try:
        rows, ids = _parse_headers(headers)
    except ValueError as error:
        raise DamagedFileError(f"{fna}: a header is not '>ROW ID' ({error})") from error
    descents = np.flatnonzero(np.diff(rows) <= 0)
    if len(descents):
        raise DamagedFileError(f"{fna}: rows do not ascend at record {descents[0] + 2}")
    return Frames(rows, ids, nucleotides, proteins)


def check_fasta(manifest: Path, chunk: Chunk) -> tuple[Path, Path]:
    """Return the nucleotide and the protein FASTA of a chunk, as `split` wrote them.

    Raises:
        DamagedFileError: a file is missing, or its checksum is not that of the manifest.
    """
    nucleotide, protein = (manifest.parent / CHUNKS / f"{chunk.chunk}{suffix}" for suffix in FASTA_SUFFIXES)
    for path, expected in ((nucleotide, chunk.nucleotide_sha256), (protein, chunk.protein_sha256)):
        problem = "missing" if not path.is_file() else "damaged" if sha256(path) != expected else ""
        if problem:
            # The manifest stays: other jobs of the run need it, and Snakemake stops where an input is gone.
            raise DamagedFileError(f"{path}: the file is {problem}; in a run, the next start splits this pool again")
    return nucleotide, protein
