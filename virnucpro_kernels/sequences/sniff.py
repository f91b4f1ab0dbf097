"""The compression and sequence format of a file, or what else it looks like, recognised by its first bytes."""

import re
from dataclasses import dataclass
from typing import Literal

from virnucpro_kernels.files import read_data

Compression = Literal["gz", "bz2", "xz", "zst"]
Format = Literal["fasta", "fastq", "genbank", "bam", "empty"]

#: Number of bytes (after decompression) by which a format is recognised.
FIRST_BYTES = 1 << 16

#: First bytes of each compression.
MAGIC: dict[Compression, bytes] = {"gz": b"\x1f\x8b", "bz2": b"BZh", "xz": b"\xfd7zXZ\x00", "zst": b"\x28\xb5\x2f\xfd"}

_COMPRESSIONS: tuple[tuple[re.Pattern[bytes], Compression], ...] = (
    (re.compile(rb"\x1f\x8b"), "gz"),
    (re.compile(rb"BZh[1-9]"), "bz2"),
    (re.compile(rb"\xfd7zXZ\x00"), "xz"),
    (re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), "zst"),  # a frame, or a skippable frame (pzstd)
)

#: A byte order mark, then lines that are blank or comments; the first lines of VCF and GFF files are no comments.
_COMMENT = rb"[ \t]*(?:(?!##(?:fileformat|gff|gtf))[#;][^\n\r]*)?"
_PREAMBLE = re.compile(rb"(?:\xef\xbb\xbf)?(?:%b(?:\r\n|\n|\r))*(?:%b\Z)?" % (_COMMENT, _COMMENT))

#: Lines before the first record of a GenBank file, such as the header of a release file: none could be a record.
_GENBANK_NOTES = re.compile(
    rb"(?:(?!LOCUS  |[ \t]*[>@]|ID   |//|[ACGTUNacgtun]{20})[^\n\r]*(?:\r\n|\n|\r)){1,50}?(?=LOCUS  )"
)

_SAM_HEADER = re.compile(rb"@(HD|SQ|RG|PG|CO)\t")

#: Patterns and descriptions of files of no supported format. The first match counts.
_OTHERS: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(file["pattern"].encode("latin-1"), re.DOTALL), file["name"])
    for file in read_data("other_files.toml")["file"]
)


@dataclass(frozen=True)
class Sniffed:
    """The format of a file.

    Attributes:
        format: Sequence format, or None where it is not a supported one.
        skipped_bytes: Number of bytes before the first record: byte order mark, blank and comment lines.
        skipped_lines: Number of lines in them.
        mate: Suffix that the IDs of its records get, `/1` or `/2` in one of the two files of paired reads.
    """

    format: Format | None
    skipped_bytes: int = 0
    skipped_lines: int = 0
    mate: str = ""


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
        return Sniffed("empty", skipped, lines)
    if start.startswith(b">"):
        return Sniffed("fasta", skipped, lines)
    if start.startswith(b"@") and not _SAM_HEADER.match(start):
        return Sniffed("fastq", skipped, lines)
    if start.startswith(b"LOCUS  "):
        return Sniffed("genbank", skipped, lines)
    notes = _GENBANK_NOTES.match(first_bytes, skipped)
    if notes and not any(pattern.match(first_bytes) for pattern, _ in _OTHERS):
        return Sniffed("genbank", notes.end(), lines + len(re.findall(rb"\r\n|\n|\r", notes[0])))
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
