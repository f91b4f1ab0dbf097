"""One sample's input file, read twice: once to check it and learn its IDs, once to use it.

Both readings come in blocks that have not been parsed, so that other processes can do that.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.sequences.duplicates import IdRegister, RepeatFinder, duplicate_problems
from virnucpro_kernels.sequences.formats import FileBlock
from virnucpro_kernels.sequences.problems import InputError, Problem, Tally
from virnucpro_kernels.sequences.records import (
    RecordBatch,
    batch_problems,
    cut_file,
    identify,
    locate,
    parse_batches,
    parse_block,
    refuse_errors,
)

DuplicateIds = Literal["error", "suffix"]


@dataclass(frozen=True)
class BlockCheck:
    """What the first reading learns of a block.

    Attributes:
        records: number of records.
        contigs: their IDs, each with a line end: one long string passes between processes more easily than many.
        problems: what is wrong or odd about them.
    """

    records: int
    contigs: str
    problems: list[Problem]


def check_block(block: FileBlock) -> tuple[RecordBatch, BlockCheck]:
    """Parse and check a block of the first reading. Its check is for `SampleInput.note`."""
    batch, unparsed = parse_block(block)
    problems = [*batch_problems(batch, block.source), *([] if unparsed is None else [unparsed])]
    return batch, BlockCheck(len(batch), "".join(f"{contig}\n" for contig in batch.contigs), problems)


def read_block(block: FileBlock | RecordBatch) -> RecordBatch:
    """Return the records of a block of the second reading."""
    return block if isinstance(block, RecordBatch) else parse_block(block)[0]


class SampleInput:
    """The records of a file in two streaming readings, in 8 bytes a record.

    The first reading: `note` the check of each of `first_blocks`, in order, then `close`. The second: `second_blocks`.

    Attributes:
        path: the file.
        name: what messages call it.
        bytes: size of the file, compressed as it is.
        records: their number, after the first reading.
        warnings: what is odd but no error, after the first reading.
    """

    def __init__(self, path: Path, *, duplicate_ids: DuplicateIds = "error", name: str | None = None) -> None:
        """Look at the start of `path`; InputError where it is no sequence file."""
        self.path = path
        self.name = name or str(path)
        self.records = 0
        self.warnings: list[Problem] = []
        self._duplicate_ids = duplicate_ids
        self._sniffed = identify(path, self.name)
        self._stamp = self._state_of_file()
        self.bytes = self._stamp[0]
        self._tally = Tally()
        self._register = IdRegister()
        self._closed = False

    def first_blocks(self) -> Iterator[FileBlock]:
        """Yield the blocks of the file; InputError where it is damaged."""
        return cut_file(self.path, self.name, self._sniffed)

    def note(self, check: BlockCheck) -> None:
        """Take in the check of the next of `first_blocks`; InputError where a record cannot be used."""
        refuse_errors(check.problems, self.path, self._sniffed)
        self._tally.add(check.problems)
        self._register.add(check.contigs.split("\n")[:-1])
        self.records += check.records

    def close(self) -> None:
        """End the first reading; InputError where IDs repeat and `duplicate_ids` is `error`."""
        self._register.close()
        if not self.records:
            self._tally.add([Problem("warning", "empty_file", self.name, "holds no records")])
        repeats = self._register.repeats
        if repeats and self._duplicate_ids == "error":
            duplicates = duplicate_problems(self._register, self.path, self.name, self._sniffed)
            if duplicates:
                raise InputError(*duplicates)
        elif repeats:
            message = f"{repeats:,} with the ID of an earlier record get `_2`, `_3`, … after it"
            self._tally.add([Problem("warning", "duplicate_id", self.name, message)])
        self.warnings = locate(self._tally.problems(), self.path, self._sniffed)
        self._closed = True
        if not repeats:
            self._register = IdRegister()  # the hashes have done their work

    def second_blocks(self) -> Iterator[FileBlock | RecordBatch]:
        """Yield the same blocks again; where IDs had to be renamed, as records with their final names.

        Raises:
            UsageError: the file changed since the first reading.
            RuntimeError: the first reading has not come to its end.
        """
        if not self._closed:
            raise RuntimeError("the first reading comes first, to its end")
        if self._state_of_file() != self._stamp:
            raise UsageError(f"{self.name} changed while it was being read: start again when it is complete")
        if not self._register.repeats:
            yield from cut_file(self.path, self.name, self._sniffed)
            return
        finder = RepeatFinder(self._register)
        for batch in parse_batches(self.path, self.name, self._sniffed):
            yield replace(batch, contigs=finder.rename(batch.contigs, batch.first_record))

    def _state_of_file(self) -> tuple[int, int]:
        state = self.path.stat()
        return state.st_size, state.st_mtime_ns
