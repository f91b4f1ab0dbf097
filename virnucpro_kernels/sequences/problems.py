"""Problems of input files: what is wrong, in which file, record and line."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from virnucpro_kernels.errors import UsageError

#: Number of problems of one kind that are listed one by one; the others are only counted.
LISTED_PER_KIND = 10

Severity = Literal["error", "warning"]
ProblemKind = Literal[
    "unreadable",
    "format",
    "damaged",
    "no_id",
    "characters",
    "duplicate_id",
    "mates",
    "empty_record",
    "rna",
    "unknown_base",
    "empty_file",
    "no_end_block",
]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with an input file.

    Attributes:
        severity: `error`, which stops a run, or `warning`.
        kind: Kind of the problem.
        source: Name of the file as the user wrote it.
        message: Text that says what is wrong and, where it is not obvious, what to do.
        record: 1-based number of the record in the file, if the problem is one of a record.
        line: 1-based line of the file, in formats that have lines.
    """

    severity: Severity
    kind: ProblemKind
    source: str
    message: str
    record: int | None = None
    line: int | None = None

    def __str__(self) -> str:
        place = self.source
        if self.record is not None:
            place += f", record {self.record:,}"
        if self.line is not None:
            place += f" (line {self.line:,})" if self.record is not None else f", line {self.line:,}"
        return f"{place}: {self.message}"


class InputError(UsageError):
    """An input file cannot be used. Exit code 5."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass
class Tally:
    """Collected problems of one file: the first few of each kind, and the number of all."""

    listed: dict[ProblemKind, list[Problem]] = field(default_factory=lambda: defaultdict(list))
    counts: dict[ProblemKind, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, problems: Iterable[Problem]) -> None:
        """Add `problems`."""
        for problem in problems:
            self.counts[problem.kind] += 1
            if len(self.listed[problem.kind]) < LISTED_PER_KIND:
                self.listed[problem.kind].append(problem)

    def problems(self) -> list[Problem]:
        """Return the listed problems, by kind, each kind followed by the number of those not listed."""
        found: list[Problem] = []
        for kind, listed in self.listed.items():
            found += listed
            unlisted = self.counts[kind] - len(listed)
            if unlisted:
                last = listed[-1]
                found.append(Problem(last.severity, kind, last.source, f"and {unlisted:,} more of this kind"))
        return found
