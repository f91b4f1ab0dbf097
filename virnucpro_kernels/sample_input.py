"""One sample's input file, read twice: once to check it and learn its IDs, once to use it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from virnucpro_kernels.checks import duplicate_problems
from virnucpro_kernels.duplicates import IdRegister, RepeatFinder
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.problems import InputError, Problem, Tally
from virnucpro_kernels.records import RecordBatch, checked_batches, identify, locate, parse_batches

DuplicateIds = Literal["error", "suffix"]


class SampleInput:
    """The records of a file in two streaming passes, in 8 bytes a record.

    Attributes:
        path: the file.
        name: what messages call it.
        records: their number, after the first pass.
        warnings: what is odd but no error, after the first pass.
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
        self._register: IdRegister | None = None

    def first_pass(self) -> Iterator[RecordBatch]:
        """Yield all batches, checking them. Consume it to the end.

        With `duplicate_ids` `suffix` the file is read once more before that, since the names of repeated IDs depend on
        all IDs of the file; both passes give the final names.

        Raises:
            InputError: at the first record that cannot be used; at the end, where IDs repeat and `duplicate_ids` is
                `error`.
        """
        if self._duplicate_ids == "error":
            yield from self._check()
        else:
            for _ in self._check():
                pass
            yield from self.second_pass()

    def second_pass(self) -> Iterator[RecordBatch]:
        """Yield all batches again.

        Raises:
            UsageError: the file changed since the first pass.
            RuntimeError: the first pass has not been consumed.
        """
        if self._register is None:
            raise RuntimeError("the first pass comes first, to its end")
        if self._state_of_file() != self._stamp:
            raise UsageError(f"{self.name} changed while it was being read: start again when it is complete")
        finder = RepeatFinder(self._register)
        for batch in parse_batches(self.path, self.name, self._sniffed):
            yield replace(batch, contigs=finder.rename(batch.contigs, batch.first_record))

    def _check(self) -> Iterator[RecordBatch]:
        register, tally, count = IdRegister(), Tally(), 0
        for batch, warnings in checked_batches(self.path, self.name, self._sniffed):
            tally.add(warnings)
            register.add(batch.contigs)
            count += len(batch)
            yield batch
        register.close()
        if not count:
            tally.add([Problem("warning", "empty_file", self.name, "holds no records")])
        if register.repeats and self._duplicate_ids == "error":
            duplicates = duplicate_problems(register, self.path, self.name, self._sniffed)
            if duplicates:
                raise InputError(*duplicates)
        elif register.repeats:
            message = f"{register.repeats:,} records have the ID of an earlier one and get `_2`, `_3`, … after it"
            tally.add([Problem("warning", "duplicate_id", self.name, message)])
        self.warnings = locate(tally.problems(), self.path, self._sniffed)
        self.records = count
        self._register = register if register.repeats else IdRegister()  # no repeats: the hashes have done their work

    def _state_of_file(self) -> tuple[int, int]:
        state = self.path.stat()
        return state.st_size, state.st_mtime_ns
