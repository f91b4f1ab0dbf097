"""The records of FASTA, FASTQ, BAM and GenBank files as pairs of header and sequence, by each format's own reader."""

import io
import warnings
from collections.abc import Collection, Iterator
from operator import attrgetter
from pathlib import Path

from virnucpro_kernels.sniff import Sniffed
from virnucpro_kernels.streams import DamagedInputError, check_bgzf_end, open_ascii

#: Header text and sequence.
Entry = tuple[str, str]

_PAIRED, _REVERSE, _FIRST, _SECOND, _SECONDARY, _SUPPLEMENTARY = 0x1, 0x10, 0x40, 0x80, 0x100, 0x800


class EntryError(Exception):
    """A record that its format's reader cannot make sense of; `line` is 1-based."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def read_entries(path: Path, sniffed: Sniffed) -> Iterator[Entry]:
    """Yield header and sequence of every record; text from all but BAM is escaped (see `streams.unescape`).

    Raises:
        EntryError: a record breaks the rules of the format.
        DamagedInputError: the file is truncated or damaged.
    """
    check_bgzf_end(path)
    match sniffed.format:
        case "fasta" | "fastq":
            yield from _fasta_or_fastq(path, sniffed)
        case "genbank":
            yield from _genbank(path, sniffed)
        case "bam":
            yield from _bam(path)


def find_lines(path: Path, sniffed: Sniffed, records: Collection[int]) -> dict[int, int]:
    """Return the 1-based line at which each of `records` (1-based) starts, in formats that have lines."""
    if sniffed.format == "fastq":
        return {record: sniffed.skipped_lines + 4 * (record - 1) + 1 for record in records}
    first_letters = {"fasta": ">", "genbank": "LOCUS"}.get(sniffed.format or "")
    lines: dict[int, int] = {}
    if first_letters is None or not records:
        return lines
    record, last = 0, max(records)
    with open_ascii(path, sniffed.skipped_bytes) as stream:
        for line, text in enumerate(io.TextIOWrapper(stream, "ascii"), start=sniffed.skipped_lines + 1):
            if text.lstrip().startswith(first_letters):
                record += 1
                if record in records:
                    lines[record] = line
                if record == last:
                    break
    return lines


def _fasta_or_fastq(path: Path, sniffed: Sniffed) -> Iterator[Entry]:
    from dnaio import FastaReader, FastqReader
    from dnaio.exceptions import FileFormatError

    with open_ascii(path, sniffed.skipped_bytes) as stream:
        try:
            reader = (FastaReader if sniffed.format == "fasta" else FastqReader)(stream)
            yield from map(attrgetter("name", "sequence"), reader)
        except FileFormatError as error:
            line = None if error.line is None else sniffed.skipped_lines + error.line + 1
            rule = " (a FASTQ record has four lines)" if sniffed.format == "fastq" else ""
            raise EntryError(error.message + rule, line) from error


def _genbank(path: Path, sniffed: Sniffed) -> Iterator[Entry]:
    from Bio import SeqIO
    from Bio.Seq import UndefinedSequenceError

    with open_ascii(path, sniffed.skipped_bytes) as stream:
        records = SeqIO.parse(io.TextIOWrapper(stream, "ascii"), "genbank")
        while True:
            try:
                with warnings.catch_warnings(record=True) as notes:
                    warnings.simplefilter("always")
                    record = next(records, None)
                if record is None:
                    return
                header, sequence = f"{record.id} {record.description}", str(record.seq)
            except UndefinedSequenceError as error:
                raise EntryError(
                    "the GenBank record holds no sequence: get it with its sequence, or as FASTA"
                ) from error
            except (ValueError, AssertionError) as error:
                raise EntryError(f"the GenBank record cannot be read: {error}") from error
            for note in map(str, (note.message for note in notes)):
                if "sequence length" in note or "Premature end" in note:  # Biopython reads on
                    raise EntryError(f"the GenBank record is incomplete: {note}")
            yield header, sequence


def _bam(path: Path) -> Iterator[Entry]:
    """Primary records in the orientation of the read; mates of pairs get /1 and /2."""
    import pysam

    earlier = pysam.set_verbosity(0)  # htslib writes to standard error on its own
    try:
        with pysam.AlignmentFile(str(path), "rb", check_sq=False) as file:
            for read in file.fetch(until_eof=True):
                flag = read.flag
                if flag & (_SECONDARY | _SUPPLEMENTARY):
                    continue
                name = read.query_name or ""
                if flag & _PAIRED and flag & (_FIRST | _SECOND) in (_FIRST, _SECOND):
                    name = name.removesuffix(mate := "/1" if flag & _FIRST else "/2") + mate
                sequence = read.get_forward_sequence() if flag & _REVERSE else read.query_sequence
                yield name, sequence or ""
    except (OSError, ValueError) as error:
        raise DamagedInputError(f"damaged or truncated BAM data ({error})") from error
    finally:
        pysam.set_verbosity(earlier)
