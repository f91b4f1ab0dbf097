"""The coding exons of GenBank records, and which frames of a window lie in them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.sequences.arrays import Int64s, Uint8s
from virnucpro_kernels.sequences.formats import EntryError, genbank_id, genbank_records
from virnucpro_kernels.sequences.records import identify
from virnucpro_kernels.sequences.streams import DamagedInputError

#: Marks of coding sequences that are not translated.
_PSEUDO = {"pseudo", "pseudogene"}


def read_exons(path: Path, shortest: int) -> Iterator[tuple[str, Int64s]]:
    """Yield for each record of a GenBank file its ID and its coding exons of at least `shortest` bases, int64 (k, 4).

    An exon is a stretch of a CDS that is no pseudogene: first base, base after the last, strand (0 forward, 1
    reverse), and the remainder modulo 3 of the positions between its codons.

    Raises:
        InputError: the file cannot be read, or is no sequence file.
        UsageError: the file is not GenBank, or damaged.
    """
    sniffed = identify(path, str(path))
    if sniffed.format != "genbank":
        raise UsageError(f"{path}: frames of coding sequences need annotation, but this file is no GenBank file")
    try:
        for record, _, _ in genbank_records(path, sniffed):
            coding = (f for f in record.features if f.type == "CDS" and _PSEUDO.isdisjoint(f.qualifiers))
            exons = [exon for feature in coding for exon in _exons(feature) if exon[1] - exon[0] >= shortest]
            yield genbank_id(record), np.array(exons, np.int64).reshape(-1, 4)
    except (EntryError, DamagedInputError) as error:
        line = getattr(error, "line", None)
        raise UsageError(f"{path}{f', line {line}' if line else ''}: {error}") from error


def _exons(feature: Any) -> Iterator[tuple[int, int, int, int]]:
    """Yield the exons of a CDS; Biopython lists its parts in the order in which they are translated."""
    skipped = int(feature.qualifiers.get("codon_start", ["1"])[0]) - 1
    for part in feature.location.parts:
        start, end = int(part.start), int(part.end)
        if part.ref is None:  # else it lies in another record
            reverse = part.strand == -1
            yield start, end, int(reverse), (end - skipped if reverse else start + skipped) % 3
        skipped = (skipped - (end - start)) % 3


def coding_masks(exons: Int64s, start: Int64s, end: Int64s) -> Uint8s:
    """Return the frames of windows that are read as an exon is, on its strand and in its phase, uint8 (w,).

    Bit i is set where frame i, in the order of `labels.FRAME_NAMES`, lies within a coding exon that holds the window.

    Args:
        exons: Exons of the record, int64 (k, 4), as `read_exons` yields them.
        start, end: First base of each window, and the base after its last, int64 (w,).
    """
    first, last, reverse, phase = exons.T[:, :, None]
    inside = (first <= start) & (end <= last)
    frame = np.where(reverse == 1, 3 + (end - phase) % 3, (phase - start) % 3)
    masks: Uint8s = np.bitwise_or.reduce(np.where(inside, 1 << frame, 0), axis=0, initial=0).astype(np.uint8)
    return masks
