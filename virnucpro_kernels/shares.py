"""The frames of a batch of contigs as text for the chunk files, each chunk's share by itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat

import numpy as np
import numpy.typing as npt

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.frames import FRAME_NAMES, OpenFrames, cut_frames
from virnucpro_kernels.sequences import SequenceArray
from virnucpro_kernels.survey import batch_windows
from virnucpro_kernels.windows import Geometry, Windows

_FRAME_NAMES = [name.encode() for name in FRAME_NAMES]

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Batch:
    """Contigs, and where their frames stand in the pool.

    Attributes:
        contigs: IDs (n).
        sequences: the sequences (n).
        first_row: row of the first frame.
        residues: int64 (k,), the different lengths of the batch's proteins, ascending.
        first_places: int64 (k,), the place that the batch's first frame of each length has in the order of all frames
            by length and row; the others of this length follow it.
    """

    contigs: list[str]
    sequences: SequenceArray
    first_row: int
    residues: Int64s
    first_places: Int64s


@dataclass(frozen=True)
class Share:
    """What one chunk gets from a batch.

    Attributes:
        chunk: number of the chunk.
        rows: frames.
        bases: of their nucleotide sequences.
        nucleotides: FASTA text.
        proteins: FASTA text, the same frames in the same order.
    """

    chunk: int
    rows: int
    bases: int
    nucleotides: bytes
    proteins: bytes


def frame_ids(contigs: Sequence[bytes], windows: Windows, frames: OpenFrames) -> list[bytes]:
    """Return the original's ID of each frame: `CONTIG_chunk_NUMBER` and the frame's name."""
    contig = windows.contig[frames.window].tolist()
    number = (windows.number[frames.window] + 1).tolist()
    return [
        b"%b_chunk_%d%b" % (contigs[index], window, _FRAME_NAMES[frame])
        for index, window, frame in zip(contig, number, frames.frame.tolist(), strict=True)
    ]


def shares(batch: Batch, *, borders: Int64s, geometry: Geometry, min_length: int) -> list[Share]:
    """Return the shares of a batch, by chunk; within one, frames in the order of their rows.

    Args:
        batch: the contigs.
        borders: int64 (chunks + 1,), of the `ChunkPlan`.
        geometry, min_length: as in the survey of the pool.

    Raises UsageError where the batch is not what it was in the survey.
    """
    windows = batch_windows(batch.sequences, geometry, min_length)
    frames, nucleotides, proteins = cut_frames(batch.sequences, windows)
    ids = frame_ids([contig.encode() for contig in batch.contigs], windows, frames)
    headers = [b">%d %b\n" % pair for pair in enumerate(ids, start=batch.first_row)]

    chunks = np.searchsorted(borders, _places(batch, frames.residues), side="right") - 1
    order = np.argsort(chunks, kind="stable")
    found, starts = np.unique(chunks[order], return_index=True)
    groups = (members.tolist() for members in np.split(order, starts[1:]))
    return [
        Share(
            chunk,
            len(indices),
            sum(len(nucleotides[index]) for index in indices),
            _fasta(headers, nucleotides, indices),
            _fasta(headers, proteins, indices),
        )
        for chunk, indices in zip(found.tolist(), groups, strict=False)
    ]


def _places(batch: Batch, residues: Int64s) -> Int64s:
    """int64 (f,): place of each frame of the batch in the order of all frames by length and row."""
    order = np.argsort(residues, kind="stable")
    lengths, starts, counts = np.unique(residues[order], return_index=True, return_counts=True)
    if not np.array_equal(lengths, batch.residues):
        raise UsageError("an input file changed while it was being read: start again when it is complete")
    places = np.empty(len(residues), np.int64)
    places[order] = np.repeat(batch.first_places - starts, counts) + np.arange(len(residues))
    return places


def _fasta(headers: list[bytes], sequences: list[bytes], indices: list[int]) -> bytes:
    lines = zip(map(headers.__getitem__, indices), map(sequences.__getitem__, indices), repeat(b"\n"))
    return b"".join(chain.from_iterable(lines))
