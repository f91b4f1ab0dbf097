"""One sample's input file, read twice: once to check it and learn its IDs, once to use it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from virnucpro_kernels.duplicates import IdRegister, Repeat, RepeatFinder
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.formats import find_lines
from virnucpro_kernels.problems import LISTED_PER_KIND, InputError, Problem, Tally
from virnucpro_kernels.records import RecordBatch, batch_problems, identify, locate, parse_batches

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
        self.path = path
        self.name = name or str(path)
        self.records = 0
        self.warnings: list[Problem] = []
        self._duplicate_ids = duplicate_ids
        self._sniffed = identify(path, self.name)
        self._stamp = self._state_of_file()
        self._register: IdRegister | None = None

    def first_pass(self) -> Iterator[RecordBatch]:
        """Yield all batches, checking them; IDs are as in the file. Consume it to the end.

        Raises:
            InputError: at the first record that cannot be used; at the end, where IDs repeat and `duplicate_ids` is
                `error`.
        """
        register, tally, count = IdRegister(), Tally(), 0
        for batch in parse_batches(self.path, self.name, self._sniffed):
            problems = batch_problems(batch, self.name)
            errors = [problem for problem in problems if problem.severity == "error"]
            if errors:
                raise InputError(*locate(errors[:1], self.path, self._sniffed))
            tally.add(problems)
            register.add(batch.contigs)
            count += len(batch)
            yield batch
        register.close()
        if len(register.repeated) and self._duplicate_ids == "error":
            found, repeats = self._find_repeats(register)
            if found:
                raise InputError(self._duplicates(found, repeats))
        self.warnings = locate(tally.problems(), self.path, self._sniffed)
        self.records = count
        self._register = register

    def second_pass(self) -> Iterator[RecordBatch]:
        """Yield all batches again, repeated IDs renamed (`duplicate_ids: suffix`).

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

    def _state_of_file(self) -> tuple[int, int]:
        state = self.path.stat()
        return state.st_size, state.st_mtime_ns

    def _find_repeats(self, register: IdRegister) -> tuple[list[Repeat], int]:
        finder, found, count = RepeatFinder(register), list[Repeat](), 0
        for batch in parse_batches(self.path, self.name, self._sniffed):
            for repeat, _ in finder.repeats(batch.contigs, batch.first_record):
                count += 1
                if len(found) < LISTED_PER_KIND:
                    found.append(repeat)
        return found, count

    def _duplicates(self, found: list[Repeat], count: int) -> Problem:
        records = {number + 1 for repeat in found for number in (repeat.record, repeat.earlier)}
        lines = find_lines(self.path, self._sniffed, records)

        def place(record: int) -> str:
            return f"record {record + 1:,}" + (f" (line {lines[record + 1]:,})" if lines else "")

        message = f"{count:,} records have the ID of an earlier one. Give each its own, or set `duplicate_ids: suffix`."
        for repeat in found:
            message += f"\n  {repeat.contig!r}: {place(repeat.record)} as {place(repeat.earlier)}"
        if count > len(found):
            message += f"\n  and {count - len(found):,} more"
        return Problem("error", "duplicate_id", self.name, message)
