"""The records of FASTA, FASTQ, BAM and GenBank files as pairs of header and sequence, by each format's own reader."""

import io
import re
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from virnucpro_kernels.sequences.arrays import Uint8s
from virnucpro_kernels.sequences.sniff import Format, Sniffed
from virnucpro_kernels.sequences.streams import (
    DamagedInputError,
    OtherDataError,
    check_bgzf_end,
    open_ascii,
    unescape,
)

#: Header text and sequence.
Entry = tuple[str, str]

_BLOCK_BYTES = 1 << 22
#: Bytes that are requested of a decompressor at a time: where the data are damaged, no more than these are lost.
_PIECE_BYTES = 1 << 16

#: Line behind the ORIGIN of a GenBank record: number and bases, nothing, or the record's other description of them.
_GENBANK_SEQUENCE = re.compile(r"[ \d]{10}|\s*\Z|CONTIG ")
#: IDs of GenBank records that programs write in place of one; the name of the LOCUS line is the ID then.
_NO_GENBANK_ID = {"", ".", "<unknown id>"}

_PAIRED, _REVERSE, _FIRST, _SECOND, _SECONDARY, _SUPPLEMENTARY = 0x1, 0x10, 0x40, 0x80, 0x100, 0x800


class EntryError(Exception):
    """A record breaks the rules of its format.

    Attributes:
        line: 1-based line of the file, if it is known.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class FileBlock:
    """Consecutive whole records of a file. Dividing a file into blocks is quick, and several processes can parse them.

    Attributes:
        source: Name of the file in messages.
        format: Format of the file.
        content: Text to parse, uint8; or entries, where the format has to be parsed to be divided.
        records: Number of records.
        first_record: 0-based number of the first record in the file.
        first_line: 0-based number of the line at which the text begins.
        position: Number of bytes of the file, compressed as it is, that had been read when the block was complete.
        mate: Suffix that the IDs get, see `Sniffed`.
    """

    source: str
    format: Format
    content: Uint8s | list[Entry]
    records: int
    first_record: int
    first_line: int
    position: int
    mate: str = ""


def read_blocks(path: Path, source: str, sniffed: Sniffed) -> Iterator[FileBlock]:
    """Yield the file `path` in blocks of a few megabytes, or of one record that is longer.

    Raises:
        EntryError: a GenBank record breaks the rules of the format.
        DamagedInputError: the file is truncated or damaged. All whole records before that have been yielded.
    """
    match sniffed.format:
        case "fasta" | "fastq" | "empty":  # behind the first bytes of an empty file there may be damage
            return _text_blocks(path, source, sniffed.format, sniffed)
        case "genbank":
            return _entry_blocks(_genbank(path, sniffed), source, sniffed.format)
        case "bam":
            check_bgzf_end(path)
            return _entry_blocks(_bam(path), source, sniffed.format)
    return iter(())


def parse(block: FileBlock) -> Iterator[Entry]:
    """Yield header and sequence of every record; text from all but BAM is escaped (see `streams.unescape`).

    Raises:
        EntryError: a record breaks the rules of the format.
    """
    if isinstance(block.content, list):
        yield from block.content
        return
    from dnaio import FastaReader, FastqReader
    from dnaio.exceptions import FileFormatError

    reader = FastaReader if block.format == "fasta" else FastqReader
    try:
        yield from map(attrgetter("name", "sequence"), reader(io.BytesIO(block.content.tobytes())))
    except FileFormatError as error:
        line = None if error.line is None else block.first_line + error.line + 1
        rule = " (a FASTQ record has four lines)" if block.format == "fastq" else ""
        raise EntryError(error.message + rule, line) from error


def find_lines(path: Path, sniffed: Sniffed, records: Collection[int]) -> dict[int, int]:
    """Return the 1-based line at which each of `records` (1-based) starts; nothing for formats without lines."""
    if sniffed.format == "fastq":
        return {record: sniffed.skipped_lines + 4 * (record - 1) + 1 for record in records}
    first_letters = {"fasta": re.compile(r"\s*>"), "genbank": re.compile("LOCUS ")}.get(sniffed.format or "")
    lines: dict[int, int] = {}
    if first_letters is None or not records:
        return lines
    record, last = 0, max(records)
    with path.open("rb") as file:
        for line, text in _lines(file, sniffed):
            if first_letters.match(text):
                record += 1
                if record in records:
                    lines[record] = line
                if record == last:
                    break
    return lines


def _lines(file: io.BufferedReader, sniffed: Sniffed) -> Iterator[tuple[int, str]]:
    """Yield the 1-based number and the escaped text of each line."""
    text = io.TextIOWrapper(open_ascii(file, sniffed.skipped_bytes), "ascii")
    return enumerate(text, start=sniffed.skipped_lines + 1)


def _text_blocks(path: Path, source: str, sequence_format: Format, sniffed: Sniffed) -> Iterator[FileBlock]:
    records, line = 0, sniffed.skipped_lines
    last_border = _fastq_border if sequence_format == "fastq" else _fasta_border
    with path.open("rb") as file, open_ascii(file, sniffed.skipped_bytes) as stream:
        rest, damage, ended = b"", None, False
        while not ended:
            text, damage = _read(stream, rest, max(_BLOCK_BYTES, len(rest)))
            ended = damage is not None or len(text) == len(rest)
            # Before damaged data, the last record is not whole.
            all_there = ended and (damage is None or isinstance(damage, OtherDataError))
            border = _end(text, sequence_format) if all_there else last_border(text, len(rest))
            if border:
                whole = np.frombuffer(text, np.uint8, border)
                found, lines = _records_and_lines(whole, sequence_format)
                yield FileBlock(source, sequence_format, whole, found, records, line, file.tell())
                records, line = records + found, line + lines
            rest = text[border:]
        if damage is not None:
            raise damage


def _read(stream: io.BufferedReader, rest: bytes, count: int) -> tuple[bytes, DamagedInputError | None]:
    """Read on.

    Returns:
        `rest` and the next `count` bytes, fewer at the end of the file; and the error, if what follows is damaged.
    """
    pieces = [rest]
    try:
        while count > 0 and (piece := stream.read1(min(count, _PIECE_BYTES))):
            pieces.append(piece)
            count -= len(piece)
    except DamagedInputError as error:
        return b"".join(pieces), error
    return b"".join(pieces), None


def _records_and_lines(text: Uint8s, sequence_format: Format) -> tuple[int, int]:
    """Return the numbers of records and of line ends. The first line is a header. `bytes.count` would be slower."""
    is_end = text == ord("\n")
    lines = int(np.count_nonzero(is_end))
    if sequence_format == "fasta":
        return 1 + int(np.count_nonzero(is_end[:-1] & (text[1:] == ord(">")))), lines
    return (lines + (not is_end[-1])) // 4, lines


def _end(text: bytes, sequence_format: Format) -> int:
    """Return where the last record of a file ends; blank lines may follow it."""
    end = len(text.rstrip())
    # The fourth line of a FASTQ record without bases is blank too.
    needs_more = sequence_format == "fastq" and text.count(b"\n", 0, end) % 4 == 2
    return min(end + 2, len(text)) if needs_more else end


def _fasta_border(text: bytes, searched: int) -> int:
    """Return where the last record begins, 0 if it is the only one; the first `searched` bytes have no border."""
    return text.rfind(b"\n>", max(searched - 1, 0)) + 1


def _fastq_border(text: bytes, _: int) -> int:
    """Return where the last whole record of four lines ends; blank lines at the end of the text belong to none yet."""
    border = len(text.rstrip()) + 1
    for _ in range(int(np.count_nonzero(np.frombuffer(text[:border], np.uint8) == ord("\n"))) % 4 + 1):
        border = text.rfind(b"\n", 0, border)
    return border + 1


def _entry_blocks(entries: Iterator[tuple[Entry, int]], source: str, sequence_format: Format) -> Iterator[FileBlock]:
    """Yield entries in blocks; each entry comes with the position in the file after it."""
    held: list[Entry] = []
    records = size = position = 0
    damage: EntryError | DamagedInputError | None = None

    try:
        for entry, position in entries:
            held.append(entry)
            size += len(entry[0]) + len(entry[1])
            if size >= _BLOCK_BYTES:
                yield FileBlock(source, sequence_format, held, len(held), records, 0, position)
                records, size, held = records + len(held), 0, []
    except (EntryError, DamagedInputError) as error:
        damage = error
    if held:
        yield FileBlock(source, sequence_format, held, len(held), records, 0, position)
    if damage is not None:
        raise damage


def _genbank(path: Path, sniffed: Sniffed) -> Iterator[tuple[Entry, int]]:
    for record, line, position in genbank_records(path, sniffed):
        yield _genbank_entry(record, line), position


def genbank_records(path: Path, sniffed: Sniffed) -> Iterator[tuple[Any, int, int]]:
    """Yield the records of a GenBank file: `Bio.SeqRecord.SeqRecord`, first line, and position in the file after it.

    Raises:
        EntryError: a record breaks the rules of the format.
        DamagedInputError: the file is truncated or damaged.
    """
    with path.open("rb") as file:
        for line, text in _genbank_texts(_lines(file, sniffed)):
            yield _parse_genbank(text, line), line, file.tell()


def genbank_id(record: Any) -> str:
    """Return the ID of a GenBank record: accession and version, or the name of its LOCUS line."""
    return str(record.name if record.id in _NO_GENBANK_ID else record.id)


def _genbank_texts(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Yield first line and text of each record; Biopython would skip what stands outside of them.

    Raises:
        EntryError: a line belongs to no record, or to no part of one.
    """
    record: list[str] = []
    first, in_sequence = 0, False
    for number, line in lines:
        if record and (_GENBANK_SEQUENCE.match(line) if in_sequence else line.startswith(" ")):  # most lines
            record.append(line)
            continue
        if record:
            if line.startswith("LOCUS "):
                raise EntryError("the GenBank record before this one does not end with `//`", number)
            if in_sequence and line.rstrip() != "//":
                raise EntryError(f"{_quoted(line)} is no line of the sequence of a GenBank record", number)
            if line.startswith((">", "@")):
                raise EntryError(f"{_quoted(line)} is no line of a GenBank record", number)
        elif line.startswith("LOCUS "):
            first, in_sequence = number, False
        elif line.strip() in {"", "//"}:
            continue
        else:
            raise EntryError(
                f"{_quoted(line)} is where a GenBank record should begin, with LOCUS at the start of the line", number
            )
        record.append(line)
        in_sequence |= line.startswith("ORIGIN")
        if line.rstrip() == "//":
            yield first, "".join(record)
            record.clear()
    if record:
        raise EntryError("the GenBank record is incomplete: it does not end with `//`", first)


def _quoted(line: str) -> str:
    return repr(unescape(line).rstrip()[:40])


def _parse_genbank(text: str, line: int) -> Any:
    from Bio import SeqIO

    try:
        with warnings.catch_warnings(record=True) as notes:
            warnings.simplefilter("always")
            record = SeqIO.read(io.StringIO(text), "genbank")
    except (ValueError, AssertionError) as error:
        raise EntryError(f"the GenBank record cannot be read: {error}", line) from error
    for note in map(str, (note.message for note in notes)):
        if "sequence length" in note:  # only a warning of Biopython
            raise EntryError(f"the GenBank record is incomplete: {note}", line)
    return record


def _genbank_entry(record: Any, line: int) -> Entry:
    from Bio.Seq import UndefinedSequenceError

    try:
        return f"{genbank_id(record)} {record.description}", str(record.seq)
    except UndefinedSequenceError as error:
        raise EntryError("the GenBank record holds no sequence: get it with its sequence, or as FASTA", line) from error


def _bam(path: Path) -> Iterator[tuple[Entry, int]]:
    for name, read, position in bam_reads(path):
        sequence = read.get_forward_sequence() if read.flag & _REVERSE else read.query_sequence
        yield (name, sequence or ""), position


def bam_reads(path: Path) -> Iterator[tuple[str, Any, int]]:
    """Yield ID, `pysam.AlignedSegment` and position in the file of primary records; paired reads get /1 and /2.

    Raises:
        DamagedInputError: the file is truncated or damaged. All whole records before that have been yielded.
    """
    import pysam

    earlier = pysam.set_verbosity(0)  # htslib would write to standard error
    try:
        with pysam.AlignmentFile(str(path), "rb", check_sq=False) as file:
            for read in file.fetch(until_eof=True):
                flag = read.flag
                if flag & (_SECONDARY | _SUPPLEMENTARY):
                    continue
                name = read.query_name or ""
                if flag & _PAIRED and flag & (_FIRST | _SECOND) in (_FIRST, _SECOND):
                    name = name.removesuffix(mate := "/1" if flag & _FIRST else "/2") + mate
                yield name, read, file.tell() >> 16  # the lower 16 bits are the offset in a bgzip block
    except (OSError, ValueError) as error:
        raise DamagedInputError(f"damaged or truncated BAM data ({error})") from error
    finally:
        pysam.set_verbosity(earlier)
