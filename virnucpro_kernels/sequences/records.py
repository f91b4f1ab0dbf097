"""Contigs or reads of any supported file, read in batches and checked, with every problem named."""

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from virnucpro_kernels.sequences.arrays import Bools, SequenceArray
from virnucpro_kernels.sequences.formats import EntryError, FileBlock, find_lines, parse, read_blocks
from virnucpro_kernels.sequences.problems import InputError, Problem, ProblemKind, Severity
from virnucpro_kernels.sequences.sniff import Sniffed, describe, sniff
from virnucpro_kernels.sequences.streams import (
    DamagedInputError,
    may_be_cut,
    name_of,
    needs_spooling,
    read_first_bytes,
    unescape,
)

#: IUPAC nucleotide codes in either case, `U`, `X` (which tools that mask write for an unknown base), gap and stop.
ALLOWED_CHARACTERS = b"ACGTURYSWKMBDHVNXacgturyswkmbdhvnx-*"

_BLANKS = re.compile("[ \t]+")
_HEADER = re.compile("[ \t]*([^ \t]*)[ \t]*(.*)", re.DOTALL)


class Record(NamedTuple):
    """One contig or read.

    Attributes:
        contig: ID, the header up to the first blank; never empty.
        description: Rest of the header, or "".
        sequence: ASCII text, case as in the file, possibly empty.
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
        descriptions: Rest of each header.
        sequences: Sequences, case as in the file.
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
    """Yield the records of a file: FASTA, FASTQ, GenBank (each also compressed) or BAM, recognised by the content.

    Duplicate IDs are not looked for; see `SampleInput`. An empty file has no records.

    Args:
        path: File to read (not `-` or a pipe: see `streams.spool`).
        source: Name of the file in messages; default `path`.

    Raises:
        InputError: the file cannot be read, is no sequence file or is damaged, or a record has no ID or holds
            characters that are no nucleotides.
    """
    for batch in read_batches(path, source):
        yield from batch


def read_batches(path: Path, source: str | None = None) -> Iterator[RecordBatch]:
    """Yield the same as `read_records` in batches of some megabases, which is much faster."""
    name = source or name_of(path)
    sniffed = identify(path, name)
    for batch in parse_batches(path, name, sniffed):
        refuse_errors(batch_problems(batch, name), path, sniffed)
        yield batch


def refuse_errors(problems: Iterable[Problem], path: Path, sniffed: Sniffed) -> None:
    """Refuse a file that has errors.

    Raises:
        InputError: there is an error among `problems`; the first one is raised.
    """
    first_error = next((problem for problem in problems if problem.severity == "error"), None)
    if first_error is not None:
        [problem] = locate([first_error], path, sniffed)
        command = shlex.join(["virnucpro", "check", str(path)])
        raise InputError(replace(problem, message=f"{problem.message}. `{command}` lists every problem"))


def identify(path: Path, name: str) -> Sniffed:
    """Return the format of the sequence file `path`.

    Raises:
        InputError: the file is no sequence file, or cannot be opened, or can be read only once.
    """
    try:
        if path.is_dir():
            raise InputError(Problem("error", "unreadable", name, "is a folder: name the sequence files in it"))
        if needs_spooling(path):
            message = "is a pipe or a device, which can be read only once: copy its content to a file, and name that"
            raise InputError(Problem("error", "unreadable", name, message))
        first_bytes = read_first_bytes(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(Problem("error", "unreadable", name, f"cannot be read: {reason}")) from error
    except DamagedInputError as error:
        raise InputError(Problem("error", "damaged", name, str(error))) from error
    sniffed = sniff(first_bytes)
    if sniffed.format is None:
        message = f"not a sequence file but {describe(first_bytes)}. Supported: FASTA, FASTQ, BAM, GenBank"
        raise InputError(Problem("error", "format", name, message))
    return sniffed


def file_blocks(path: Path, name: str, sniffed: Sniffed) -> Iterator[FileBlock]:
    """Yield the blocks of `path`.

    Raises:
        InputError: the file is damaged. All whole records before the damage have been yielded.
    """
    records = 0
    try:
        for block in read_blocks(path, name, sniffed):
            yield replace(block, mate=sniffed.mate) if sniffed.mate else block
            records += block.records
    except EntryError as error:
        raise InputError(Problem("error", "format", name, str(error), records + 1, error.line)) from error
    except DamagedInputError as error:
        counted = "1 whole record" if records == 1 else f"{records:,} whole records"
        raise InputError(Problem("error", "damaged", name, f"{error}, {counted}")) from error


def parse_block(block: FileBlock) -> tuple[RecordBatch, Problem | None]:
    """Return the records of `block`, unchecked, and the problem of the next record, if that cannot be parsed."""
    headers: list[str] = []
    sequences: list[str] = []
    problem: Problem | None = None
    try:
        for header, sequence in parse(block):
            headers.append(header)
            sequences.append(sequence)
    except EntryError as error:
        record = block.first_record + len(headers) + 1
        problem = Problem("error", "format", block.source, str(error), record, error.line)
    if problem is None and len(headers) != block.records:  # the parser tolerates more than what divides the file
        message = (
            f"one of records {block.first_record + 1:,} to {block.first_record + len(headers):,} has blanks before"
        )
        problem = Problem("error", "format", block.source, f"{message} its `>`, which must begin a line")
    batch = _batch(block.first_record, headers, sequences)
    if block.mate:
        batch = replace(batch, contigs=[contig.removesuffix(block.mate) + block.mate for contig in batch.contigs])
    return batch, problem


def parse_batches(path: Path, name: str, sniffed: Sniffed) -> Iterator[RecordBatch]:
    """Yield the records of `path` unchecked.

    Raises:
        InputError: the file is damaged or breaks the rules of its format. All records before that have been yielded.
    """
    for block in file_blocks(path, name, sniffed):
        batch, problem = parse_block(block)
        if len(batch):
            yield batch
        if problem is not None:
            raise InputError(problem)


def _batch(first: int, headers: list[str], sequences: list[str]) -> RecordBatch:
    text = "\n".join(headers)
    if "\t" in text or "  " in text or "\n " in text or text.startswith(" "):
        headers = [_HEADER.sub(r"\1 \2", header, count=1) for header in headers]
    if "\x1a" in text:
        headers = [unescape(header) for header in headers]
    contigs, descriptions = [], []
    for header in headers:
        contig, _, description = header.partition(" ")
        contigs.append(contig)
        descriptions.append(description)
    joined = "".join(sequences)
    if " " in joined or "\t" in joined:
        sequences = [_BLANKS.sub("", sequence) for sequence in sequences]
        joined = "".join(sequences)
    array = SequenceArray.from_lengths(joined.encode("ascii"), map(len, sequences), len(sequences))
    return RecordBatch(first, contigs, descriptions, array)


def batch_problems(batch: RecordBatch, name: str) -> Iterator[Problem]:
    """Yield the problems of the records of `batch`, without lines."""

    def problem(severity: Severity, kind: ProblemKind, index: int, message: str) -> Problem:
        return Problem(severity, kind, name, message, batch.first_record + index + 1)

    if "" in batch.contigs:
        for index, contig in enumerate(batch.contigs):
            if not contig:
                yield problem("error", "no_id", index, "the header has no ID: write a name at its start")
    data = batch.sequences.data.tobytes()
    if data.translate(None, ALLOWED_CHARACTERS):
        for index, base in _first_in_each(batch, ~_in(ALLOWED_CHARACTERS)):
            wrong = unescape(batch.sequences[index].decode("ascii"))[base]
            message = f"{batch.contigs[index]!r} holds {wrong!r} at base {base + 1:,}, which is no nucleotide code"
            hint = " (a protein sequence?)" if wrong in "EFIJLOPQZefijlopqz" else ""
            yield problem("error", "characters", index, message + hint)
    if b"U" in data or b"u" in data:
        for index, _ in _first_in_each(batch, _in(b"Uu")):
            message = f"{batch.contigs[index]!r} is RNA: each U is read as T"
            yield problem("warning", "rna", index, message)
    if b"X" in data or b"x" in data:
        for index, base in _first_in_each(batch, _in(b"Xx")):
            message = f"{batch.contigs[index]!r} holds X from base {base + 1:,} on, which counts as an unknown base"
            yield problem("warning", "unknown_base", index, message)
    for index in np.flatnonzero(batch.sequences.lengths == 0).tolist():
        yield problem("warning", "empty_record", index, f"{batch.contigs[index]!r} has no sequence")


def file_warnings(path: Path, name: str, sniffed: Sniffed, records: int) -> Iterator[Problem]:
    """Yield the warnings about a file of `records` records that concern none of them."""
    if not records:
        yield Problem("warning", "empty_file", name, "holds no records")
    if sniffed.format != "bam" and may_be_cut(path):  # a BAM file is refused then
        message = (
            "the empty block that bgzip writes last is missing: if the file was cut off there, records are missing"
        )
        yield Problem("warning", "no_end_block", name, message)


def _in(characters: bytes) -> Bools:
    """Return for each byte whether it is one of `characters`, bool (256,)."""
    table = np.zeros(256, np.bool_)
    table[np.frombuffer(characters, np.uint8)] = True
    return table


def _first_in_each(batch: RecordBatch, table: Bools) -> Iterator[tuple[int, int]]:
    """Yield index and first base, both 0-based, of each sequence that has a character of `table`."""
    offsets = batch.sequences.offsets
    places = np.flatnonzero(table[batch.sequences.data])
    records, firsts = np.unique(np.searchsorted(offsets, places, "right") - 1, return_index=True)
    return zip(records.tolist(), (places[firsts] - offsets[records]).tolist(), strict=True)


def locate(problems: list[Problem], path: Path, sniffed: Sniffed) -> list[Problem]:
    """Return `problems` with the line of each record, in formats that have lines."""
    wanted = {problem.record for problem in problems if problem.record is not None and problem.line is None}
    lines = find_lines(path, sniffed, wanted)
    return [
        replace(problem, line=lines.get(problem.record)) if problem.record in wanted else problem
        for problem in problems
    ]
