"""Reads with their qualities, in the order and number in which `records` yields their sequences."""

import io
from array import array
from collections.abc import Iterator
from pathlib import Path

from virnucpro_kernels.sequences.formats import bam_reads
from virnucpro_kernels.sequences.records import file_blocks, identify
from virnucpro_kernels.sequences.streams import name_of, unescape

#: Quality of the bases of a read that has none, as `samtools fastq` writes it.
_NO_QUALITY = 1


def holds_reads(path: Path) -> bool:
    """Return whether a sequence file is FASTQ or BAM.

    Raises:
        InputError: the file is no sequence file, or cannot be opened.
    """
    return identify(path, name_of(path)).format in ("fastq", "bam")


def read_fastq(path: Path) -> Iterator[bytes]:
    """Yield each read of a FASTQ or BAM file as a FASTQ record; those of a BAM file in the orientation of the read.

    Raises:
        InputError: a FASTQ file is damaged.
        DamagedInputError: a BAM file is damaged.
    """
    return _from_bam(path) if identify(path, name_of(path)).format == "bam" else _from_fastq(path)


def _from_fastq(path: Path) -> Iterator[bytes]:
    from dnaio import FastqReader

    name = name_of(path)
    for block in file_blocks(path, name, identify(path, name)):
        text = block.content.tobytes() if not isinstance(block.content, list) else b""
        for record in FastqReader(io.BytesIO(text)):
            yield _record(unescape(record.name), record.sequence, record.qualities)


def _from_bam(path: Path) -> Iterator[bytes]:
    import pysam

    for name, read, _ in bam_reads(path):
        sequence = read.get_forward_sequence() or ""
        qualities = read.get_forward_qualities()
        if qualities is None:
            qualities = array("B", [_NO_QUALITY] * len(sequence))
        yield _record(name, sequence, pysam.qualities_to_qualitystring(qualities))


def _record(header: str, sequence: str, qualities: str) -> bytes:
    return f"@{header}\n{sequence}\n+\n{qualities}\n".encode()
