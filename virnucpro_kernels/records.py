"""Reading and checking the input: contigs or reads of any supported file, in batches, with every problem named."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from virnucpro_kernels.formats import EntryError, find_lines, read_entries
from virnucpro_kernels.problems import InputError, Problem
from virnucpro_kernels.sequences import SequenceArray
from virnucpro_kernels.sniff import Sniffed, describe, sniff
from virnucpro_kernels.streams import DamagedInputError, needs_spooling, read_head, unescape

#: IUPAC nucleotide codes in either case, `U`, gap and stop.
ALLOWED_CHARACTERS = b"ACGTURYSWKMBDHVNacgturyswkmbdhvn-*"

_BATCH_RECORDS = 1 << 16
_BATCH_BASES = 1 << 23

_BLANKS = re.compile("[ \t]+")
_AMINO_ACIDS = frozenset("EFIJLOPQXZefijlopqxz")


@dataclass(frozen=True, slots=True)
class Record:
    """One contig or read.

    Attributes:
        contig: its ID, the header up to the first blank; never empty.
        description: the rest of the header, or "".
        sequence: ASCII, case as in the file, possibly empty.
    """

    contig: str
    description: str
    sequence: bytes


@dataclass(frozen=True, eq=False)
class RecordBatch:
    """Consecutive records of a file, column by column.

    Attributes:
        first_record: 0-based number of the first record within the file.
        contigs: IDs.
        descriptions: the rest of each header.
        sequences: the sequences, case as in the file.
    """

    first_record: int
    contigs: list[str]
    descriptions: list[str]
    sequences: SequenceArray

    def __len__(self) -> int:
        return len(self.contigs)

    def __iter__(self) -> Iterator[Record]:
        return map(Record, self.contigs, self.descriptions, self.sequences)


def read_records(path: Path, source: str | None = None) -> Iterator[Record]:
    """Yield the records of `path`: FASTA, FASTQ, GenBank (each also compressed) or BAM, told by content.

    Duplicate IDs are not looked for; see `SampleInput`. An empty file has no records.

    Args:
        path: a file (not `-` or a pipe: see `streams.spool`).
        source: what to call the file in messages; default `path`.

    Raises:
        InputError: it cannot be read, is no sequence file or damaged, or a record has no ID or holds characters
            that are no nucleotides.
    """
    for batch in read_batches(path, source):
        yield from batch


def read_batches(path: Path, source: str | None = None) -> Iterator[RecordBatch]:
    """Like `read_records`, in batches of some megabases: much faster."""
    name = source or str(path)
    sniffed = identify(path, name)
    for batch in parse_batches(path, name, sniffed):
        errors = [problem for problem in batch_problems(batch, name) if problem.severity == "error"]
        if errors:
            raise InputError(*locate(errors[:1], path, sniffed))
        yield batch


def identify(path: Path, name: str) -> Sniffed:
    """Return the kind of the sequence file `path`; InputError where it is none or cannot be opened."""
    try:
        if path.is_dir():
            raise InputError(Problem("error", "unreadable", name, "is a folder: name the sequence files in it"))
        if needs_spooling(path):
            raise ValueError(f"{path} can be read only once: spool it first")
        head = read_head(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(Problem("error", "unreadable", name, f"cannot be read: {reason}")) from error
    except DamagedInputError as error:
        raise InputError(Problem("error", "damaged", name, str(error))) from error
    sniffed = sniff(head)
    if sniffed.format is None:
        message = f"not a sequence file but {describe(head)}. Supported: FASTA, FASTQ, BAM, GenBank"
        raise InputError(Problem("error", "format", name, message))
    return sniffed


def parse_batches(path: Path, name: str, sniffed: Sniffed) -> Iterator[RecordBatch]:
    """Yield the records of `path` unchecked; InputError where the file is damaged or breaks its format.

    All records before the damage are yielded first.
    """
    headers: list[str] = []
    sequences: list[str] = []
    first = bases = 0
    problem: Problem | None = None
    try:
        for header, sequence in read_entries(path, sniffed):
            headers.append(header)
            sequences.append(sequence)
            bases += len(sequence)
            if bases >= _BATCH_BASES or len(headers) >= _BATCH_RECORDS:
                yield _batch(first, headers, sequences)
                first += len(headers)
                headers, sequences, bases = [], [], 0
    except EntryError as error:
        problem = Problem("error", "format", name, str(error), first + len(headers) + 1, error.line)
    except DamagedInputError as error:
        problem = Problem("error", "damaged", name, f"{error}, {first + len(headers):,} whole records")
    if headers:
        yield _batch(first, headers, sequences)
    if problem is not None:
        raise InputError(problem)


def _batch(first: int, headers: list[str], sequences: list[str]) -> RecordBatch:
    if any("\x1a" in header for header in headers):
        headers = [unescape(header) for header in headers]
    words = [header.split(None, 1) for header in headers]
    joined = "".join(sequences)
    if " " in joined or "\t" in joined:
        sequences = [_BLANKS.sub("", sequence) for sequence in sequences]
        joined = "".join(sequences)
    return RecordBatch(
        first,
        [word[0] if word else "" for word in words],
        [word[1] if len(word) > 1 else "" for word in words],
        SequenceArray.from_lengths(joined.encode("ascii"), map(len, sequences), len(sequences)),
    )


def batch_problems(batch: RecordBatch, name: str) -> list[Problem]:
    """Return what is wrong with the records of `batch`, without lines."""
    problems = []
    for index, contig in enumerate(batch.contigs):
        if not contig:
            message = "the header has no ID: write a name after `>` or `@`"
            problems.append(Problem("error", "no_id", name, message, batch.first_record + index + 1))
    if batch.sequences.data.tobytes().translate(None, ALLOWED_CHARACTERS):
        problems += _character_problems(batch, name)
    for index in np.flatnonzero(batch.sequences.lengths == 0).tolist():
        message = f"{batch.contigs[index]!r} has no sequence"
        problems.append(Problem("warning", "empty_record", name, message, batch.first_record + index + 1))
    return problems


def _character_problems(batch: RecordBatch, name: str) -> Iterator[Problem]:
    allowed = np.zeros(256, bool)
    allowed[np.frombuffer(ALLOWED_CHARACTERS, np.uint8)] = True
    places = np.flatnonzero(~allowed[batch.sequences.data])
    records, first_places = np.unique(np.searchsorted(batch.sequences.offsets, places, "right") - 1, return_index=True)
    for index, place in zip(records.tolist(), places[first_places].tolist(), strict=True):
        sequence = batch.sequences[index]
        base = place - int(batch.sequences.offsets[index])
        wrong = unescape(sequence.decode("ascii"))[base]
        message = f"{batch.contigs[index]!r} holds {wrong!r} at base {base + 1:,}, which is no nucleotide code"
        if wrong in _AMINO_ACIDS:
            message += " (a protein sequence?)"
        yield Problem("error", "characters", name, message, batch.first_record + index + 1)


def locate(problems: list[Problem], path: Path, sniffed: Sniffed) -> list[Problem]:
    """Return `problems` with the line of each record, in formats that have lines."""
    wanted = {problem.record for problem in problems if problem.record is not None and problem.line is None}
    lines = find_lines(path, sniffed, wanted)
    return [
        replace(problem, line=lines.get(problem.record)) if problem.record in wanted else problem
        for problem in problems
    ]
