"""The original tool's FASTA files of windows and frames, byte for byte."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import BinaryIO

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import atomic_path
from virnucpro_kernels.pool.geometry import Geometry
from virnucpro_kernels.sequences.records import RecordBatch, read_batches
from virnucpro_kernels.sequences.streams import readable
from virnucpro_kernels.split.frames import frame_ids, frame_sequences
from virnucpro_kernels.split.windows import place_windows

_LINE_BASES = 60


@dataclass
class WrittenCounts:
    """Numbers of contigs, windows and frames that were written."""

    contigs: int = 0
    windows: int = 0
    frames: int = 0


def write_frames(
    path: Path, geometry: Geometry, *, nucleotide: Path, protein: Path, windows: Path | None = None
) -> WrittenCounts:
    """Write the frames of a sequence file, `-` for standard input; see `write_frame_files`.

    Raises:
        UsageError: a file would be written twice, or in the place of the input.
        InputError: the input cannot be used.
        OSError: a file cannot be written.
    """
    files = [file.resolve() for file in (path, nucleotide, protein, windows) if file]
    if twice := [file for file in files if files.count(file) > 1]:
        raise UsageError(f"{twice[0]} is named twice; input and files to write have to be different files")
    with readable(path) as (file, name):
        batches = read_batches(file, name)
        return write_frame_files(batches, geometry, nucleotide=nucleotide, protein=protein, windows=windows)


def write_frame_files(
    batches: Iterable[RecordBatch], geometry: Geometry, *, nucleotide: Path, protein: Path, windows: Path | None = None
) -> WrittenCounts:
    """Write the frames of all contigs, and their windows if requested, in the order of the input.

    Windows are wrapped at 60 columns and keep their case; frames are one line each, in upper case.

    Args:
        batches: Contigs.
        geometry: Window length and layout.
        nucleotide, protein: Files for the two sequences of each frame.
        windows: File for the windows, if they are requested.

    Raises:
        OSError: a file cannot be written.
    """
    counts = WrittenCounts()
    with ExitStack() as exits:

        def create(path: Path) -> BinaryIO:
            return exits.enter_context(exits.enter_context(atomic_path(path)).open("wb"))

        nucleotide_file, protein_file = create(nucleotide), create(protein)
        window_file = create(windows) if windows else None
        for batch in batches:
            contigs = [contig.encode() for contig in batch.contigs]
            placed = place_windows(batch.sequences.lengths, geometry.window_length, geometry.layout)
            frames, nucleotides, proteins = frame_sequences(
                batch.sequences, placed, geometry.layout, geometry.min_segment
            )
            headers = [b">%b\n" % name for name in frame_ids(contigs, placed, frames)]
            for file, sequences in ((nucleotide_file, nucleotides), (protein_file, proteins)):
                file.writelines(chain.from_iterable(zip(headers, sequences, repeat(b"\n"))))
            if window_file:
                sequences_of_contigs = list(batch.sequences)
                places = zip(
                    *(a.tolist() for a in (placed.contig, placed.number, placed.start, placed.end)), strict=True
                )
                for contig, number, start, end in places:
                    window_file.write(b">%b_chunk_%d\n" % (contigs[contig], number + 1))
                    window_file.writelines(_wrapped(sequences_of_contigs[contig][start:end]))
            counts.contigs += len(batch)
            counts.windows += len(placed)
            counts.frames += len(frames)
    return counts


def _wrapped(sequence: bytes) -> Iterator[bytes]:
    for start in range(0, len(sequence), _LINE_BASES):
        yield sequence[start : start + _LINE_BASES] + b"\n"
