"""Samples: the sheet that lists them, and their names where only files are given."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import expand_user
from virnucpro_kernels.pool.file_names import TAKEN
from virnucpro_kernels.pool.tsv import write_table
from virnucpro_kernels.run.config import hint, problems_with, schema
from virnucpro_kernels.run.sheet import read_lines
from virnucpro_kernels.sequences.streams import name_of, needs_spooling

_LISTED = 10
_FORMATS = r"\.(fa|fna|fasta|ffn|fas|fsa|mfa|fq|fastq|ubam|bam|txt|gb|gbk|gbff|genbank|seq)"
#: Other names of columns, as other workflows have them.
_COLUMNS = {"fastq_1": "input", "fastq_2": "input2"}
_COMPRESSIONS = r"\.(gz|bgz|bz2|xz|zst)"


@dataclass(frozen=True)
class Sample:
    """A sample.

    Attributes:
        name: Name, which stands in paths.
        input: Sequence file.
        pool: Pool that the sheet names; empty where `pools.assign` chooses one.
        input2: Second file of paired reads, if there is one.
    """

    name: str
    input: Path
    pool: str = ""
    input2: Path | None = None

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Sequence files of the sample: one, or the two of paired reads."""
        return (self.input,) if self.input2 is None else (self.input, self.input2)

    def replace_inputs(self, replacements: Mapping[Path, Path]) -> Self:
        """Return the sample with other paths of those inputs that `replacements` has."""
        first, *second = (replacements.get(path, path) for path in self.inputs)
        return replace(self, input=first, input2=second[0] if second else None)


def read_sheet(path: Path) -> list[Sample]:
    """Read a sample sheet with a header, separated by tabs or commas; lines that start with `#` are comments.

    A relative path of an input is relative to the sheet. Empty columns at the right, as spreadsheets leave them, do not
    count.

    Raises:
        UsageError: the sheet has problems, such as bad or repeated names and missing files or columns; all are listed.
    """
    separator, lines = read_lines(path, "sample sheet")
    if not lines:
        raise UsageError(f"{path}: empty; it needs a header line with the columns sample and input")
    header = [_COLUMNS.get(name.lower(), name.lower()) for name in lines[0][1]]
    if wrong := _header_problems(header):
        raise UsageError(_first_few([f"{path}, line {lines[0][0]}: {problem}" for problem in wrong]))
    samples, problems = [], []
    for number, values in lines[1:]:
        row = dict(zip(header, values, strict=False))
        found = problems_with(row, schema("samples"))
        if any(values[len(header) :]):
            found.append(f"{len(values)} values for {len(header)} columns (separated by {separator!r})")
        problems += [f"{path}, line {number}: {problem}" for problem in found]
        if not found:
            second = _beside(path, row["input2"]) if row.get("input2") else None
            samples.append(Sample(row["sample"], _beside(path, row["input"]), row.get("pool", ""), second))
    problems += [f"{path}: {problem}" for problem in problems_among(samples)]
    if not lines[1:]:
        problems.append(f"{path}: no samples; add a line with a name and a sequence file")
    if problems:
        raise UsageError(_first_few(problems))
    return samples


def _header_problems(header: Sequence[str]) -> list[str]:
    """Return what is wrong with the first line of a sheet."""
    if len(header) == 1 and re.search("[; ]", header[0]):
        return [f"{header[0]!r} is one column; separate sample and input with tabs or commas"]
    rules = schema("samples")
    known, needed = list(rules["properties"]), list(rules["required"])
    if not set(known) & set(header):
        return [f"the first line has to be the header `{'<TAB>'.join(needed)}`, but it is `{'<TAB>'.join(header)}`"]
    missing = [f"no column {name!r}; a sheet has {' and '.join(needed)}" for name in needed if name not in header]
    return missing + [f"unknown column {name!r}; {hint(name, known)}" for name in header if name not in known]


def write_sheet(path: Path, samples: Sequence[Sample]) -> None:
    """Write a sheet; inputs become absolute paths, so that the sheet means the same wherever it is read from."""
    columns: dict[str, list[object]] = {
        "sample": [sample.name for sample in samples],
        "input": [_normal(sample.input) for sample in samples],
        "input2": [_normal(sample.input2) if sample.input2 else "" for sample in samples],
        "pool": [sample.pool for sample in samples],
    }
    used = {name: values for name, values in columns.items() if name in ("sample", "input") or any(values)}
    write_table(path, tuple(used), zip(*used.values(), strict=True))


def problems_among(samples: Sequence[Sample]) -> list[str]:
    """Return what is wrong with the samples of a run: names repeated or taken, inputs that are no files."""
    times = Counter(sample.name for sample in samples)
    problems = [
        f"sample {name!r} occurs {count} times; a sample sheet can give each its own name"
        for name, count in times.items()
        if count > 1
    ]
    problems += [
        f"sample {name!r} has a name that a run uses beside the folders of its samples; a sample sheet"
        " can give it another name"
        for name in times
        if name in TAKEN
    ]
    problems += [
        f"sample {sample.name!r}: {name_of(path)} {problem}"
        for sample in samples
        for path in sample.inputs
        if (problem := _input_problem(path))
    ]
    problems += [
        f"sample {sample.name!r}: input and input2 are the same file; give the two files of its paired reads"
        for sample in samples
        if sample.input == sample.input2
    ]
    alone = {sample.name for sample in samples if not sample.pool}
    problems += [
        f"pool {pool!r} has the name of a sample that is not in it; the sheet has to give the pool another name"
        for pool in sorted({sample.pool for sample in samples if sample.pool} & alone)
    ]
    return problems


def _input_problem(path: Path) -> str | None:
    """Return why a file cannot be the input of a sample, as a predicate; None where nothing is wrong so far."""
    try:
        if path.is_dir():
            return "is a directory, not a sequence file"
        if not path.exists():
            return "does not exist"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if not os.access(path, os.R_OK):
        return "cannot be read: Permission denied"
    if needs_spooling(path):
        return "is a pipe or a device, which can be read only once; give a file with its content"
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return "has a name that is not UTF-8; give a link to it with another name"
    return None


def misread(path: str) -> bool:
    """Whether Snakemake (braces) or the reader of a sheet (blanks at the ends, line breaks) would misread a path."""
    return not {"{", "}"}.isdisjoint(path) or path != path.strip() or len(path.splitlines()) > 1


def name_samples(inputs: Sequence[Path]) -> list[Sample]:
    """Name samples after their files: without directory, format and compression suffix, odd characters as `_`.

    A sample whose file has the name of another one gets the name of its folder in front.

    Raises:
        UsageError: a file is given twice or does not exist, or two inputs still have the same name.
    """
    if twice := [path for path, count in Counter(map(_normal, inputs)).items() if count > 1]:
        raise UsageError(f"{twice[0]} is given more than once; each sequence file is a sample, so give it once")
    names = [_stem(path) for path in inputs]
    times = Counter(names)
    unique = [
        _clean(f"{path.resolve().parent.name}_{name}") if times[name] > 1 else name
        for name, path in zip(names, inputs, strict=True)
    ]
    samples = [Sample(name, path) for name, path in zip(unique, inputs, strict=True)]
    problems = problems_among(samples)
    if problems:
        raise UsageError(_first_few(problems))
    return samples


def parse_samples(arguments: Sequence[str]) -> list[tuple[str, Path]]:
    """Return name and file of each `[SAMPLE=]FILE`; an argument that is a file's name is that file, `=` or not.

    Raises:
        UsageError: a sample's name is empty, occurs more than twice, or twice with one file.
    """
    samples = []
    for argument in arguments:
        name, sign, path = argument.partition("=")
        if argument == "-":
            samples.append(("stdin", Path("-")))
        elif sign and not Path(argument).exists():
            samples.append((name, Path(path)))
        else:
            samples.append((_stem(Path(argument)), Path(argument)))
    times = Counter(name for name, _ in samples)
    for name, number in times.items():
        if not name or number > 2 or number > len({path for other, path in samples if other == name}):
            raise UsageError(
                f"sample name {name!r} is empty or occurs {number} times: name the samples, as in a=one.fa b=two.fa; a"
                " sample of paired reads has two files, as in a=first.fq a=second.fq"
            )
    return samples


def _stem(path: Path) -> str:
    stem = re.sub(f"({_FORMATS})?({_COMPRESSIONS})?$", "", path.name, flags=re.IGNORECASE)
    return _clean(stem or path.name)


def _clean(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip("._-")[:100] or "sample"


def _beside(sheet: Path, value: str) -> Path:
    """Return the path of an input in a sheet, relative to the working directory if it lies below it."""
    path = expand_user(value)
    if path.is_absolute():
        return path
    full = _normal(sheet.parent / path)
    return full.relative_to(Path.cwd()) if full.is_relative_to(Path.cwd()) else full


def _normal(path: Path) -> Path:
    """Return the absolute path without `..`; links stay as they are."""
    return Path(os.path.normpath(Path.cwd() / path))


def _first_few(problems: Sequence[str]) -> str:
    shown = list(problems[:_LISTED])
    if len(problems) > _LISTED:
        shown.append(f"and {len(problems) - _LISTED} more problems")
    return "\n".join(shown)
