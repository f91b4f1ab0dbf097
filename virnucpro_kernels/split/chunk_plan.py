"""Chunks: how the frames of a pool are shared out over them, and the pair of FASTA files that holds one.

The frames of a pool have an order: by length of the protein, then by row. A chunk is an interval of that order, so that
its frames are of similar length; within its files the frames lie in the order of their rows.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.pool.manifest import Chunk, read_manifest, write_manifest
from virnucpro_kernels.sequences.arrays import SequenceArray

__all__ = ["Chunk", "ChunkPlan", "Frames", "plan_chunks", "read_frames", "read_manifest", "write_manifest"]

#: Tokens a frame beyond its residues: the start and the end that the encoder adds.
SPECIAL_TOKENS = 2

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ChunkPlan:
    """How the frames of a pool are shared out over n chunks.

    Attributes:
        borders: int64 (n + 1,): chunk k holds the frames from border k to border k + 1 of the order by length and row.
        tokens: int64 (n,), protein tokens of each chunk.
        min_residues, max_residues: int64 (n,), length of its shortest and of its longest protein.
    """

    borders: Int64s
    tokens: Int64s
    min_residues: Int64s
    max_residues: Int64s

    def __len__(self) -> int:
        return len(self.tokens)


def plan_chunks(frames_of_length: Int64s, *, chunk_tokens: int, min_chunks: int) -> ChunkPlan:
    """Share the frames of a pool out over chunks of equal cost.

    Args:
        frames_of_length: int64 (longest + 1,), number of frames for each length of the protein.
        chunk_tokens: protein tokens that a chunk holds at most, give or take one frame.
        min_chunks: chunks there shall be at least, as far as there are frames for them.

    No chunk of the plan is empty; without frames there is none.
    """
    frames = int(frames_of_length.sum())
    if frames == 0:
        nothing = np.zeros(0, np.int64)
        return ChunkPlan(np.zeros(1, np.int64), nothing, nothing, nothing)
    cost = np.arange(len(frames_of_length)) + SPECIAL_TOKENS
    frames_before = np.cumsum(frames_of_length) - frames_of_length
    tokens_before = np.cumsum(frames_of_length * cost) - frames_of_length * cost
    tokens = int((frames_of_length * cost).sum())
    count = min(max(min_chunks, -(-tokens // chunk_tokens)), frames)

    # Python integers: chunks times tokens may pass 2**63.
    targets = np.array([tokens * chunk // count for chunk in range(1, count)], np.int64)
    length = np.searchsorted(tokens_before, targets, side="right") - 1
    inner = frames_before[length] + (targets - tokens_before[length]) // cost[length]
    # Where frames are few, borders coincide: pull them apart, from the left and then from the right.
    step = np.arange(1, count)
    inner = np.maximum.accumulate(np.maximum(inner - step, 0)) + step
    inner = np.minimum(inner, frames - count + step)
    borders = np.concatenate([[0], inner, [frames]])

    frames_until = frames_before + frames_of_length
    shortest, longest = (np.searchsorted(frames_until, at, side="right") for at in (borders[:-1], borders[1:] - 1))
    tokens_until = tokens_before[longest] + (borders[1:] - frames_before[longest]) * cost[longest]
    return ChunkPlan(borders, np.diff(tokens_until, prepend=0), shortest, longest)


@dataclass(frozen=True, eq=False)
class Frames:
    """The frames of a chunk in ascending order of their rows.

    Attributes:
        rows: int64 (n,).
        ids: the original tool's IDs, `contig_chunk_1F1`; for people, not for joining.
        nucleotides, proteins: the two sequences of each frame.
    """

    rows: Int64s
    ids: list[str]
    nucleotides: SequenceArray
    proteins: SequenceArray

    def __len__(self) -> int:
        return len(self.rows)


def _read_fasta(path: Path) -> tuple[SequenceArray, SequenceArray]:
    """Headers, `>` included, and sequences of a FASTA file in which every record is two lines."""
    try:
        text = np.fromfile(path, np.uint8)
    except FileNotFoundError as error:
        raise DamagedFileError(f"{path}: missing") from error
    ends = np.flatnonzero(text == ord("\n"))
    if len(ends) % 2 or (len(text) and text[-1] != ord("\n")):
        raise DamagedFileError(f"{path}: truncated")
    lengths = np.diff(ends, prepend=-1) - 1
    firsts = text[ends - lengths]  # of an empty line its end
    bad = (firsts[0::2] != ord(">")) | (firsts[1::2] == ord(">")) | (lengths[1::2] == 0)
    if bad.any():
        number = int(np.argmax(bad)) + 1
        raise DamagedFileError(f"{path}: damaged at record {number} (line {2 * number - 1})")
    return _every_second(text, lengths, 0), _every_second(text, lengths, 1)


def _every_second(text: npt.NDArray[np.uint8], lengths: Int64s, first: int) -> SequenceArray:
    """Lines `first`, `first` + 2, … of a text whose lines have these lengths, their ends not counted."""
    wanted = np.zeros((len(lengths), 2), bool)  # of each line itself and its end
    wanted[first::2, 0] = True
    pieces = np.stack([lengths, np.ones_like(lengths)], axis=1)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[first::2])])
    return SequenceArray(text[np.repeat(wanted.ravel(), pieces.ravel())], offsets)


def _same(one: SequenceArray, other: SequenceArray) -> bool:
    return np.array_equal(one.offsets, other.offsets) and np.array_equal(one.data, other.data)


def _parse_headers(headers: SequenceArray) -> tuple[Int64s, list[str]]:
    """Rows and IDs from headers `>ROW ID`. Raises ValueError where one is something else."""
    import pyarrow as pa  # not at the start of every process of `split`
    import pyarrow.compute as pc

    texts = headers.to_arrow().cast(pa.large_string())
    words = pc.split_pattern(pc.utf8_slice_codeunits(texts, 1), " ", max_splits=1)
    if (pc.list_value_length(words).to_numpy() < 2).any():
        raise ValueError("no ID")
    return pc.list_element(words, 0).cast(pa.int64()).to_numpy(), pc.list_element(words, 1).to_pylist()


def read_frames(fna: Path, faa: Path) -> Frames:
    """Read the frames of a chunk from its pair of files.

    Raises DamagedFileError where a file is missing, truncated or damaged, where the rows do not ascend, or where the
    two files do not hold the same records in the same order.
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
