"""Samples: the sheet that lists them, and their names where only files are given."""

import csv
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.pool.tsv import write_table
from virnucpro_kernels.run.config import hint, problems_with, schema

_LISTED = 10
_FORMATS = r"\.(fa|fna|fasta|ffn|fas|fsa|mfa|fq|fastq|ubam|bam|txt)"
_COMPRESSIONS = r"\.(gz|bgz|bz2|xz|zst)"


@dataclass(frozen=True)
class Sample:
    """A sample.

    Attributes:
        name: Name, which stands in paths.
        input: Sequence file.
        pool: Pool that the sheet names; empty where `pools.assign` chooses one.
    """

    name: str
    input: Path
    pool: str = ""


def read_sheet(path: Path) -> list[Sample]:
    """Read a tab-separated sample sheet with a header; lines that start with `#` are comments.

    A relative path of an input is relative to the sheet.

    Raises:
        UsageError: the sheet has problems, such as bad or repeated names and missing files or columns; all are listed.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such sample sheet; `virnucpro init` writes one") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not a text file: {error}") from error
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if _is_content(line)]
    if not lines:
        raise UsageError(f"{path}: empty; it needs a header line with the columns sample and input")
    header = [name.strip() for name in next(csv.reader([lines[0][1]], delimiter="\t"))]
    if wrong := _header_problems(header):
        raise UsageError(_first_few([f"{path}, line {lines[0][0]}: {problem}" for problem in wrong]))
    samples, problems = [], []
    for number, line in lines[1:]:
        values = next(csv.reader([line], delimiter="\t"))
        row = dict(zip(header, (value.strip() for value in values), strict=False))
        found = problems_with(row, schema("samples"))
        if len(values) > len(header):
            found.append(f"{len(values)} values for {len(header)} columns (tabs separate them)")
        problems += [f"{path}, line {number}: {problem}" for problem in found]
        if not found:
            samples.append(Sample(row["sample"], _beside(path, row["input"]), row.get("pool", "")))
    problems += [f"{path}: {problem}" for problem in problems_among(samples)]
    if not lines[1:]:
        problems.append(f"{path}: no samples; add a line with a name and a sequence file")
    if problems:
        raise UsageError(_first_few(problems))
    return samples


def _header_problems(header: Sequence[str]) -> list[str]:
    """Return what is wrong with the first line of a sheet."""
    if len(header) == 1 and re.search("[,; ]", header[0]):
        return [f"{header[0]!r} is one column; separate sample and input with tabs"]
    rules = schema("samples")
    known, needed = list(rules["properties"]), list(rules["required"])
    if not set(known) & set(header):
        return [f"the first line has to be the header `{'<TAB>'.join(needed)}`, but it is `{'<TAB>'.join(header)}`"]
    missing = [f"no column {name!r}; a sheet has {' and '.join(needed)}" for name in needed if name not in header]
    return missing + [f"unknown column {name!r}; {hint(name, known)}" for name in header if name not in known]


def write_sheet(path: Path, samples: Iterable[Sample]) -> None:
    """Write a sheet; inputs become absolute paths, so that the sheet means the same wherever it is read from."""
    rows = [(sample.name, _normal(sample.input), sample.pool) for sample in samples]
    columns = 3 if any(pool for *_, pool in rows) else 2
    write_table(path, ("sample", "input", "pool")[:columns], (row[:columns] for row in rows))


def problems_among(samples: Sequence[Sample]) -> list[str]:
    """Return what is wrong with the samples of a run: repeated names, missing files, pools named like other samples."""
    times = Counter(sample.name for sample in samples)
    problems = [
        f"sample {name!r} occurs {count} times; a sample sheet can give each its own name"
        for name, count in times.items()
        if count > 1
    ]
    for sample in samples:
        if sample.input.is_dir():
            problems.append(f"sample {sample.name!r}: {sample.input} is a directory, not a sequence file")
        elif not sample.input.exists():
            problems.append(f"sample {sample.name!r}: {sample.input} does not exist")
    alone = {sample.name for sample in samples if not sample.pool}
    problems += [
        f"pool {pool!r} has the name of a sample outside it; choose another name"
        for pool in sorted({sample.pool for sample in samples if sample.pool} & alone)
    ]
    return problems


def misread(path: str) -> bool:
    """Whether Snakemake (braces) or the reader of a sheet (blanks at the ends, line breaks) would misread a path."""
    return not {"{", "}"}.isdisjoint(path) or path != path.strip() or len(path.splitlines()) > 1


def name_samples(inputs: Sequence[Path]) -> list[Sample]:
    """Name samples after their files: without directory, format and compression suffix, odd characters as `_`.

    A sample whose file has the name of another one gets the name of its folder in front.

    Raises:
        UsageError: two inputs still have the same name, or a file does not exist.
    """
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
        UsageError: a sample's name is empty or occurs twice, or a file is not there.
    """
    samples = []
    for argument in arguments:
        name, sign, path = argument.partition("=")
        if argument == "-":
            samples.append(("stdin", Path("-")))
        elif sign and not Path(argument).exists():
            samples.append((name, Path(path)))
        else:
            samples += [(sample.name, sample.input) for sample in name_samples([Path(argument)])]
    names = [name for name, _ in samples]
    for name in names:
        if not name or names.count(name) > 1:
            raise UsageError(
                f"sample name {name!r} is empty or occurs twice: name the samples, as in a=one.fa b=two.fa"
            )
    return samples


def _stem(path: Path) -> str:
    stem = re.sub(f"({_FORMATS})?({_COMPRESSIONS})?$", "", path.name, flags=re.IGNORECASE)
    return _clean(stem or path.name)


def _clean(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip("._-")[:100] or "sample"


def _is_content(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("#")


def _beside(sheet: Path, value: str) -> Path:
    """Return the path of an input in a sheet, relative to the working directory if it lies below it."""
    path = Path(value).expanduser()
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
