"""One sample's input file, read in two passes: one to check it and learn its IDs, one to use it.

Both passes yield blocks that have not been parsed, so that other processes can parse them.
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
    file_blocks,
    file_warnings,
    identify,
    locate,
    parse_batches,
    parse_block,
    refuse_errors,
)
from virnucpro_kernels.sequences.streams import name_of

DuplicateIds = Literal["error", "suffix"]


@dataclass(frozen=True)
class BlockCheck:
    """What the first pass learns of a block.

    Attributes:
        records: Number of records.
        contigs: IDs, each with a line end: one long string passes between processes faster than many.
        problems: Errors and warnings.
    """

    records: int
    contigs: str
    problems: list[Problem]


def check_block(block: FileBlock) -> tuple[RecordBatch, BlockCheck]:
    """Parse and check a block of the first pass. The check is for `SampleInput.note`."""
    batch, unparsed = parse_block(block)
    problems = [*batch_problems(batch, block.source), *([] if unparsed is None else [unparsed])]
    return batch, BlockCheck(len(batch), "".join(f"{contig}\n" for contig in batch.contigs), problems)


def read_block(block: FileBlock | RecordBatch) -> RecordBatch:
    """Return the records of a block of the second pass."""
    return block if isinstance(block, RecordBatch) else parse_block(block)[0]


class SampleInput:
    """The records of a file in two streaming passes, with 8 bytes of memory a record.

    The first pass: `note` the check of each of `first_blocks`, in order, then `close`. The second: `second_blocks`.

    Attributes:
        path: File to read.
        name: Name of the file in messages.
        bytes: Size of the file, compressed as it is.
        records: Number of records, after the first pass.
        warnings: Problems that are no errors, after the first pass.
    """

    def __init__(self, path: Path, *, duplicate_ids: DuplicateIds, name: str | None = None, mate: str = "") -> None:
        """Look at the first bytes of `path`. The IDs of its records get the suffix `mate`, unless they have it.

        Raises:
            InputError: the file is no sequence file, or cannot be opened.
        """
        self.path = path
        self.name = name or name_of(path)
        self.records = 0
        self.warnings: list[Problem] = []
        self._duplicate_ids = duplicate_ids
        self._sniffed = replace(identify(path, self.name), mate=mate)
        self._stamp = self._state_of_file()
        self.bytes = self._stamp[0]
        self._tally = Tally()
        self._register = IdRegister()
        self._closed = False

    def first_blocks(self) -> Iterator[FileBlock]:
        """Yield the blocks of the file.

        Raises:
            InputError: the file is damaged.
        """
        return file_blocks(self.path, self.name, self._sniffed)

    def note(self, check: BlockCheck) -> None:
        """Note the check of the next of `first_blocks`.

        Raises:
            InputError: a record cannot be used.
        """
        refuse_errors(check.problems, self.path, self._sniffed)
        self._tally.add(check.problems)
        self._register.add(check.contigs.split("\n")[:-1])
        self.records += check.records

    def close(self) -> None:
        """End the first pass.

        Raises:
            InputError: IDs repeat and `duplicate_ids` is `error`.
        """
        self._register.close()
        self._tally.add(file_warnings(self.path, self.name, self._sniffed, self.records))
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
            self._register = IdRegister()  # frees the hashes, which are not needed any more

    def second_blocks(self) -> Iterator[FileBlock | RecordBatch]:
        """Yield the same blocks again; where IDs have to be renamed, as records with their final IDs.

        Raises:
            UsageError: the file changed since the first pass.
            RuntimeError: the first pass is not complete.
        """
        if not self._closed:
            raise RuntimeError("the first pass is not complete: close() ends it")
        if self._state_of_file() != self._stamp:
            raise UsageError(f"{self.name} changed while it was being read: start again when it is complete")
        if not self._register.repeats:
            yield from file_blocks(self.path, self.name, self._sniffed)
            return
        finder = RepeatFinder(self._register)
        for batch in parse_batches(self.path, self.name, self._sniffed):
            yield replace(batch, contigs=finder.rename(batch.contigs, batch.first_record))

    def _state_of_file(self) -> tuple[int, int]:
        state = self.path.stat()
        return state.st_size, state.st_mtime_ns
