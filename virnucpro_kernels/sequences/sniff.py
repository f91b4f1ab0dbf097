"""The compression and sequence format of a file, or what else it looks like, recognised by its first bytes."""

import re
from dataclasses import dataclass
from typing import Literal

Compression = Literal["gz", "bz2", "xz", "zst"]
Format = Literal["fasta", "fastq", "genbank", "bam", "empty"]

#: Number of bytes (after decompression) by which a format is recognised.
FIRST_BYTES = 1 << 16

_COMPRESSIONS: tuple[tuple[re.Pattern[bytes], Compression], ...] = (
    (re.compile(rb"\x1f\x8b"), "gz"),
    (re.compile(rb"BZh[1-9]"), "bz2"),
    (re.compile(rb"\xfd7zXZ\x00"), "xz"),
    (re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), "zst"),  # a frame, or a skippable frame (pzstd)
)

#: A byte order mark, then lines that are blank or comments; the first lines of VCF and GFF files are no comments.
_COMMENT = rb"[ \t]*(?:(?!##(?:fileformat|gff|gtf))[#;][^\n\r]*)?"
_PREAMBLE = re.compile(rb"(?:\xef\xbb\xbf)?(?:%b(?:\r\n|\n|\r))*(?:%b\Z)?" % (_COMMENT, _COMMENT))

_OLD_MAC = re.compile(rb"[>@;#][^\n]*\r[^\n]+\Z")

_SAM_HEADER = re.compile(rb"@(HD|SQ|RG|PG|CO)\t")

#: Descriptions of files of no supported format. The first match counts.
_OTHERS: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), name)
    for pattern, name in (
        (rb"\x89HDF\r\n", "an HDF5 file (FAST5 reads must be basecalled first)"),
        (rb"\x8bPOD\r\n", "a POD5 file of raw Nanopore signal, which must be basecalled first"),
        (rb"%PDF-", "a PDF document"),
        (rb"PK(\x03\x04|\x05\x06)", "a zip archive or an Office document (unpack it, or export it as text)"),
        (rb".{257}ustar", "a tar archive (unpack it and give the files in it)"),
        (rb"7z\xbc\xaf", "a 7-Zip archive (unpack it)"),
        (rb"Rar!", "a RAR archive (unpack it)"),
        (rb"\x1f\x8b", "a file that was compressed twice with gzip (decompress it once)"),
        (rb"BZh[1-9]1AY", "a file that was compressed twice, the second time with bzip2 (decompress it once)"),
        (rb"\xfd7zXZ\x00|\x28\xb5\x2f\xfd", "a file that was compressed twice (decompress it once)"),
        (
            rb"\x1f[\x9d\xa0]|\x04\x22\x4d\x18|LZIP|\]\x00\x00",
            "a file in a compression that is not supported (use gzip)",
        ),
        (rb"CRAM", "a CRAM file (convert it with `samtools view -b`, which may need its reference)"),
        (rb"BCF\x02", "a BCF file of variants"),
        (rb"BAI\x01|CSI\x01|TBI\x01", "an index, not the file that it belongs to"),
        (rb"NCBI\.sra", "an SRA archive (convert it with `fasterq-dump`)"),
        (rb"\.sff", "an SFF file (convert it to FASTQ)"),
        (rb"ABIF", "a chromatogram (convert it to FASTQ)"),
        (rb"\x1a\x41\x27\x43|\x43\x27\x41\x1a", "a 2bit file (convert it with `twoBitToFa`)"),
        (rb"PAR1", "a Parquet table"),
        (rb"SQLite format 3", "an SQLite database"),
        (_OLD_MAC.pattern, "text whose lines end as on old Macs (convert it with `tr '\\r' '\\n'`)"),
        (rb"\x89PNG|\xff\xd8\xff|GIF8|II\*\x00|MM\x00\*", "an image"),
        (rb"\x7fELF|MZ", "a program"),
        (rb"\x93NUMPY", "a NumPy array"),
        (rb"\x80[\x02-\x05]", "a Python pickle"),
        (rb"\xff\xfe|\xfe\xff", "text in UTF-16 (save it as UTF-8 or ASCII)"),
        (rb"\s*version https://git-lfs", "a Git LFS pointer: the file itself has not been downloaded (`git lfs pull`)"),
        (rb"(?i:\s*(<!doctype html|<html|<head|<body))", "an HTML page (a failed download?)"),
        (rb"(?i:\s*<(\?xml|!--|[a-z]))", "an XML file"),
        (rb"\{\\rtf", "an RTF document (export it as plain text)"),
        (rb"\s*[\[{]", "JSON"),
        (rb"@(HD|SQ|RG|PG|CO)\t", "SAM text (convert it with `samtools view -b`)"),
        (rb"##fileformat=VCF", "a VCF file of variants"),
        (rb"##gff|##gtf", "a GFF or GTF file of annotations"),
        (rb"ID   \S+;", "an EMBL file (convert it to FASTA)"),
        (rb"H\tVN:|S\t\S+\t[ACGTN*]", "an assembly graph in GFA (take the contigs' FASTA)"),
        (rb"#NEXUS|CLUSTAL|# STOCKHOLM", "an alignment (convert it to FASTA)"),
        (rb"HEADER    ", "a PDB structure"),
        (rb"[^\t\n]+\t\d+\t[^\t\n]+\t\d+\t\d+\t[^\n]*\t[ACGTNacgtn]{10,}\t", "SAM text without a header"),
        (rb"[^\n]*\t", "a table with tabs"),
        (rb"[ACGTUNacgtun]{20,}\s", "a sequence without a header line that starts with `>`"),
        (rb"[^,\n]*,[^,\n]*,", "a table with commas"),
    )
)


@dataclass(frozen=True)
class Sniffed:
    """The format of a file.

    Attributes:
        format: Sequence format, or None where it is not a supported one.
        skipped_bytes: Number of bytes before the first record: byte order mark, blank and comment lines.
        skipped_lines: Number of lines in them.
    """

    format: Format | None
    skipped_bytes: int = 0
    skipped_lines: int = 0


def compression_of(first_bytes: bytes) -> Compression | None:
    """Return the compression of a file that starts with `first_bytes`, or None."""
    return next((name for pattern, name in _COMPRESSIONS if pattern.match(first_bytes)), None)


def sniff(first_bytes: bytes) -> Sniffed:
    """Return the format of a file by its first `FIRST_BYTES` bytes (all bytes of a shorter file)."""
    if first_bytes.startswith(b"BAM\x01"):
        return Sniffed("bam")
    preamble = _PREAMBLE.match(first_bytes)
    skipped = preamble.end() if preamble else 0
    start = first_bytes[skipped:].lstrip(b" \t")
    lines = len(re.findall(rb"\r\n|\n|\r", first_bytes[:skipped]))
    if not start and len(first_bytes) < FIRST_BYTES:
        return Sniffed("empty")
    if _OLD_MAC.match(first_bytes):
        return Sniffed(None)
    if start.startswith(b">"):
        return Sniffed("fasta", skipped, lines)
    if start.startswith(b"@") and not _SAM_HEADER.match(start):
        return Sniffed("fastq", skipped, lines)
    if start.startswith(b"LOCUS  "):
        return Sniffed("genbank", skipped, lines)
    return Sniffed(None)


def describe(first_bytes: bytes) -> str:
    """Describe a file that starts with `first_bytes` and is of no supported sequence format."""
    for pattern, name in _OTHERS:
        if pattern.match(first_bytes):
            return name
    preamble = _PREAMBLE.match(first_bytes)
    rest = first_bytes[preamble.end() if preamble else 0 :]
    if rest != first_bytes:
        return describe(rest)
    text = first_bytes.decode("utf-8", "ignore")
    if len(text.encode()) < 0.9 * len(first_bytes) or re.search("[\x00-\x08\x0e-\x1a]", text):
        return "a binary file"
    first_line = first_bytes.split(b"\n", 1)[0].strip()[:40].decode("utf-8", "replace")
    return f"text that starts with {first_line!r}"
