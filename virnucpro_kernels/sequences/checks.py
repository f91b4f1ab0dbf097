"""Reports of all problems of input files, for `virnucpro check`."""

from dataclasses import dataclass, field
from pathlib import Path

from virnucpro_kernels.sequences.duplicates import IdRegister, duplicate_problems
from virnucpro_kernels.sequences.problems import InputError, Problem, Tally
from virnucpro_kernels.sequences.records import batch_problems, file_warnings, identify, locate, parse_batches
from virnucpro_kernels.sequences.sniff import Format
from virnucpro_kernels.sequences.streams import name_of

_FORMAT_NAMES: dict[Format, str] = {
    "fasta": "FASTA",
    "fastq": "FASTQ",
    "genbank": "GenBank",
    "bam": "BAM",
    "empty": "empty",
}


@dataclass
class InputReport:
    """What one input file holds.

    Attributes:
        name: Name of the file as the user wrote it.
        format: Sequence format; None where it is no sequence file.
        records: Number of records that could be read.
        bases: Sum of their lengths.
        shortest, longest: Smallest and largest length, 0 without records.
        problems: Problems of the file, the first `LISTED_PER_KIND` of each kind one by one.
    """

    name: str
    format: Format | None = None
    records: int = 0
    bases: int = 0
    shortest: int = 0
    longest: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def errors(self) -> bool:
        """Whether the file cannot be used."""
        return any(problem.severity == "error" for problem in self.problems)

    def lines(self) -> list[str]:
        """Return the report in words: what the file is, then each problem."""
        lines = []
        if self.format is not None:
            lengths = f" of {self.shortest:,} to {self.longest:,} bases, {self.bases:,} in all" if self.records else ""
            counted = "1 record" if self.records == 1 else f"{self.records:,} records"
            lines.append(f"{self.name}: {_FORMAT_NAMES[self.format]}, {counted}{lengths}")
        lines += [f"{problem.severity}: {problem}" for problem in self.problems]
        return lines if self.problems else [f"{lines[0]}, no problems"]


def inspect(path: Path, name: str | None = None) -> InputReport:
    """Read the whole file and report what it holds and what is wrong with it, without raising InputError."""
    report, tally, register = InputReport(name or name_of(path)), Tally(), IdRegister()
    try:
        sniffed = identify(path, report.name)
    except InputError as error:
        report.problems = list(error.problems)
        return report
    report.format = sniffed.format
    try:
        for batch in parse_batches(path, report.name, sniffed):
            tally.add(batch_problems(batch, report.name))
            register.add([contig for contig in batch.contigs if contig])
            lengths = batch.sequences.lengths
            report.shortest = min(int(lengths.min()), report.shortest) if report.records else int(lengths.min())
            report.longest = max(int(lengths.max()), report.longest)
            report.records += len(batch)
            report.bases += int(lengths.sum())
    except InputError as error:
        tally.add(error.problems)
    if report.records or not tally.counts:
        tally.add(file_warnings(path, report.name, sniffed, report.records))
    report.problems = locate(tally.problems(), path, sniffed)
    register.close()
    report.problems += duplicate_problems(register, path, report.name, sniffed)
    return report
