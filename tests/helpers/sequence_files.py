"""Sequence files for tests: formats and compressions, and what reading them gives."""

import bz2
import gzip
import io
import lzma
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import pysam
import pytest
import zstandard
from Bio.Seq import Seq
from Bio.SeqIO import write as write_genbank
from Bio.SeqRecord import SeqRecord

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.sequences.problems import InputError
from virnucpro_kernels.sequences.records import Record, read_records

FASTA = b">one first record\nACGTN\nryk\n>two\nACG-*U\n"
FASTQ = b"@one first record\nACGTNryk\n+\nIIIIIIII\n@two\nACG-*U\n+two\nIIIIII\n"
EXPECTED = [Record("one", "first record", b"ACGTNryk"), Record("two", "", b"ACG-*U")]


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd,
}


class MakeFile(Protocol):
    def __call__(self, data: bytes, name: str = ...) -> Path: ...


def read(path: Path) -> list[Record]:
    return list(read_records(path))


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    assert isinstance(caught.value, UsageError)
    assert caught.value.exit_code == 5
    assert str(path) in str(caught.value)
    return str(caught.value)


def bgzip(folder: Path, data: bytes) -> bytes:
    with pysam.BGZFile(str(folder / "bgzip"), "w") as out:
        out.write(data)
    return (folder / "bgzip").read_bytes()


def genbank(*names: str) -> bytes:
    text = io.StringIO()
    for name in names:
        write_genbank(SeqRecord(Seq("ACGT" * 50), name, name, annotations={"molecule_type": "DNA"}), text, "genbank")
    return text.getvalue().encode()


def random_fasta(records: int, seed: int = 0) -> bytes:
    generator = random.Random(seed)
    return b"".join(b">contig_%d\n%s\n" % (i, bytes(generator.choices(b"ACGT", k=200))) for i in range(records))


def bam(path: Path, reads: Sequence[tuple[str, int, str | None]], *, reference: bool = False) -> Path:
    header = {"HD": {"VN": "1.6"}, **({"SQ": [{"SN": "chr1", "LN": 1000}]} if reference else {})}
    with pysam.AlignmentFile(str(path), "wb", header=header) as out:
        for name, flag, sequence in reads:
            segment = pysam.AlignedSegment(out.header)
            segment.query_name, segment.flag, segment.query_sequence = name, flag, sequence
            if not flag & 4:
                segment.reference_id, segment.reference_start = 0, 10
                segment.cigartuples = [(0, len(sequence or ""))]
            out.write(segment)
    return path
