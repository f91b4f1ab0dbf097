"""The table of genomes to train on: class, category and group of every record, and its side of the split."""

import csv
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import expand_user
from virnucpro_kernels.sequences.records import Record, read_records

_log = logging.getLogger(__name__)

#: Name of the table in a folder of genomes.
TABLE = "genomes.tsv"
SPLITS = ("train", "val", "test")
#: Classes in the order of the classifier's logits.
LABELS = ("host", "virus")
#: Share of the groups of a category for val, and for test, where the table leaves the split to us.
_HELD_OUT_SHARE = 0.1
_SUFFIXES = {".fa", ".fna", ".fasta", ".gb", ".gbk", ".gbff", ".genbank"}
_COMPRESSIONS = {".gz", ".bgz", ".bz2", ".xz", ".zst"}


@dataclass(frozen=True)
class Genome:
    """A line of the table: a record, or all records of a file.

    Attributes:
        file: Sequence file; None where any file beside the table may have the record.
        seq_id: ID of the record; empty for all records of `file`.
        annotation: GenBank file with the coding sequences; None for `file` itself.
        label, category, group: Class, kind (such as bacteria), and group of relatives, which the split never divides.
        split: Side of the split.
        line: All columns of the line.
    """

    file: Path | None
    seq_id: str
    annotation: Path | None
    label: str
    category: str
    group: str
    split: str
    line: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class GenomeTable:
    """Genomes and the sequence files that hold them.

    Attributes:
        genomes: Lines of the table, those on a side of the split.
        files: Sequence files, in order.
        beside: Those of them that may have the records of lines without a file: the ones beside the table.
    """

    genomes: tuple[Genome, ...]
    files: tuple[Path, ...]
    beside: frozenset[Path]

    @property
    def all_files(self) -> list[Path]:
        """Sequence files, and the files with coding sequences that the table names."""
        return sorted({*self.files, *(genome.annotation for genome in self.genomes if genome.annotation)})

    def of_file(self, file: Path) -> Mapping[str, Genome]:
        """Return the genomes that `file` may have, by ID; the ID is empty where a line means all records."""
        named = (None, file) if file in self.beside else (file,)
        return {genome.seq_id: genome for genome in self.genomes if genome.file in named}

    def records(self, file: Path) -> Iterator[tuple[Genome, Record]]:
        """Yield the records of `file` that the table has, each with its genome.

        Raises:
            InputError: the file cannot be used.
        """
        wanted = self.of_file(file)
        for record in read_records(file):
            genome = wanted.get(record.contig) or wanted.get("")
            if genome is not None:
                yield genome, record

    def annotations_of(self, file: Path) -> list[Path]:
        """Return the files with the coding sequences of the records of `file`, in order."""
        return sorted({genome.annotation or file for genome in self.of_file(file).values()})


def read_genomes(path: Path, seed: int) -> GenomeTable:
    """Read a table of genomes: tab-separated, with a header; columns that are not listed here are ignored.

    `label` (virus or host), `category` and `group`; `file`, relative to the table, or `seq_id`, or both; `split`
    (train, val or test; lines of other splits are left out), without which groups are assigned; `annotation`.
    Without `file`, the sequence files beside the table are searched for the record of the line. Blanks around fields do
    not count.

    Args:
        path: Table.
        seed: Seed of the assignment of groups to splits.

    Raises:
        UsageError: the table cannot be used; or a group stands on two sides of the split, which is named.
    """
    genomes = _read_checked(path, seed)
    used = tuple(genome for genome in genomes if genome.split in SPLITS)
    if len(used) < len(genomes):
        others = ", ".join(sorted({genome.split or "none" for genome in genomes} - set(SPLITS)))
        _log.info("%s: %d lines of other splits (%s) are left out", path, len(genomes) - len(used), others)
    _check_complete(path, used)
    return _with_files(path, used)


def read_held_out(path: Path, split: str, seed: int) -> Iterator[tuple[Genome, Record]]:
    """Yield the records of a split on which nothing is trained, file by file.

    Args:
        path: Table, as for `read_genomes`; it needs no other split than this one.
        split: Name of the split, any but `train`.
        seed: Seed of the assignment of groups to splits where the table has no column `split`: that of the training.

    Raises:
        UsageError: the split is `train`; or the table cannot be used, has no record of this split, a group on two sides
            of the split, or a record of this split that is in none of the files.
        InputError: a sequence file cannot be used.
    """
    if split == "train":
        raise UsageError(
            "--split train: a model knows the genomes that it was trained on, so that it would look better than it is;"
            " choose the split val, or another one that took no part in the training"
        )
    genomes = _read_checked(path, seed)
    used = tuple(genome for genome in genomes if genome.split == split)
    if not used:
        there = ", ".join(sorted({genome.split or "none" for genome in genomes}))
        raise UsageError(f"{path}: no record of split {split!r}; there is {there}")
    table, found = _with_files(path, used), list[Genome]()
    for file in table.files:
        for genome, record in table.records(file):
            found.append(genome)
            yield genome, record
    check_all_found(table, found)


def _read_checked(path: Path, seed: int) -> list[Genome]:
    """Return all lines of a table, each with its split; none of them repeated, no group on two sides."""
    lines = _read_lines(path)
    genomes = _with_one_path_each(_genome(path, number, line) for number, line in enumerate(lines, start=2))
    if "split" not in lines[0]:
        genomes = assign_splits(genomes, seed)
    _check_groups(path, genomes)
    return genomes


def check_all_found(table: GenomeTable, genomes: Iterable[Genome]) -> None:
    """Make sure that the genomes that were found in sequence files are all of a table.

    Raises:
        UsageError: some are missing; the message names the first of them.
    """
    found = {id(genome) for genome in genomes}
    missing = [genome.seq_id or str(genome.file) for genome in table.genomes if id(genome) not in found]
    if missing:
        raise UsageError(
            f"{len(missing):,} records of the table of genomes are in none of the sequence files, such as"
            f" {', '.join(missing[:3])}; correct seq_id or file"
        )


def read_split(path: Path, split: str) -> Iterator[tuple[Genome, Record]]:
    """Yield the records of one split of a table of genomes, file by file: of any name, or of all without the column.

    Raises:
        UsageError: the table cannot be used, or has no record of this split.
        InputError: a sequence file cannot be used.
    """
    lines = enumerate(_read_lines(path), start=2)
    used = (_genome(path, number, line) for number, line in lines if line.get("split", split) == split)
    genomes = _with_one_path_each(used)
    if not genomes:
        raise UsageError(f"{path}: no record of split {split!r}")
    table = _with_files(path, tuple(genomes))
    for file in table.files:
        yield from table.records(file)


def _with_files(path: Path, genomes: tuple[Genome, ...]) -> GenomeTable:
    """Return genomes of the table `path` with their files, all of which are there."""
    named = {genome.file for genome in genomes if genome.file}
    beside = frozenset[Path]()
    if any(genome.file is None for genome in genomes):
        # Those that the table names too go by its paths.
        known = {os.path.realpath(file): file for file in named}
        beside = frozenset(known.get(real, file) for real, file in _files_beside(path).items())
    table = GenomeTable(genomes, tuple(sorted(named | beside)), beside)
    if missing := [str(file) for file in table.all_files if not file.is_file()]:
        raise UsageError(f"{path}: the table names files that are not there: {', '.join(missing[:5])}")
    return table


def _read_lines(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as table:
            reader = csv.DictReader(table, delimiter="\t", restval="")
            columns = {name: name.strip() for name in reader.fieldnames or ()}
            lines = [{column: line[name].strip() for name, column in columns.items()} for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: the table of genomes cannot be read: {error}") from error
    header = set(columns.values())
    missing = [name for name in ("label", "category", "group") if name not in header]
    if missing or not {"file", "seq_id"} & header:
        raise UsageError(
            f"{path}: a table of genomes has the tab-separated columns label, category, group, and file or seq_id;"
            f" missing: {', '.join(missing) or 'file or seq_id'}"
        )
    if not lines:
        raise UsageError(f"{path}: the table has no lines")
    return lines


def _genome(path: Path, number: int, line: Mapping[str, str]) -> Genome:
    if line["label"] not in LABELS:
        raise UsageError(f"{path}, line {number}: label {line['label']!r} is neither virus nor host")
    if not line["group"] or not line["category"]:
        raise UsageError(f"{path}, line {number}: group and category must not be empty")
    file, seq_id = line.get("file", ""), line.get("seq_id", "")
    if not file and not seq_id:
        raise UsageError(f"{path}, line {number}: neither a file nor a seq_id")
    annotation = line.get("annotation", "")
    return Genome(
        file=path.parent / expand_user(file) if file else None,
        seq_id=seq_id,
        annotation=path.parent / expand_user(annotation) if annotation else None,
        label=line["label"],
        category=line["category"],
        group=line["group"],
        split=line.get("split", ""),
        line=line,
    )


def _with_one_path_each(genomes: Iterable[Genome]) -> list[Genome]:
    """Return genomes whose paths to the same file are all the first of these, so that equal paths are equal files."""
    genomes, first = list(genomes), dict[str, Path]()
    real = {file: os.path.realpath(file) for file in {genome.file for genome in genomes} if file}
    return [
        replace(genome, file=first.setdefault(real[genome.file], genome.file)) if genome.file else genome
        for genome in genomes
    ]


def assign_splits(genomes: Iterable[Genome], seed: int) -> list[Genome]:
    """Return genomes with a split each: of the groups of a category a tenth goes to val, and a tenth to test.

    A category of at least three groups has one in each. A group of several categories goes with the first of them.
    """
    genomes = list(genomes)
    category_of: dict[str, str] = {}
    for genome in genomes:
        category_of.setdefault(genome.group, f"{genome.label} {genome.category}")
    groups: dict[str, list[str]] = defaultdict(list)
    for group, category in category_of.items():
        groups[category].append(group)
    split_of: dict[str, str] = {}
    for category in sorted(groups):
        chance = np.random.default_rng([seed, *category.encode()])
        order = [sorted(groups[category])[place] for place in chance.permutation(len(groups[category]))]
        held_out = max(round(_HELD_OUT_SHARE * len(order)), 1) if len(order) >= len(SPLITS) else 0
        splits = ["val"] * held_out + ["test"] * held_out
        split_of |= dict(zip(order, splits + ["train"] * (len(order) - len(splits)), strict=True))
    return [replace(genome, split=split_of[genome.group]) for genome in genomes]


def _check_groups(path: Path, genomes: Sequence[Genome]) -> None:
    """Refuse a group on two sides of the split, and a record that stands in the table twice."""
    splits: dict[str, set[str]] = defaultdict(set)
    for genome in genomes:
        splits[genome.group].add(genome.split)
    for group, sides in splits.items():
        if len(sides) > 1:
            raise UsageError(
                f"{path}: group {group!r} is on two sides of the split ({', '.join(sorted(sides))}), so that relatives"
                " of what is trained on would be what is tested on; give all records of a group one split"
            )
    # A record without a file may be in any, also in one in which another line has it.
    anywhere = {genome.seq_id for genome in genomes if genome.file is None}
    times = Counter((None if genome.seq_id in anywhere else genome.file, genome.seq_id) for genome in genomes)
    (_, seq_id), most = times.most_common(1)[0]
    if most > 1:
        raise UsageError(f"{path}: {seq_id or 'a file without seq_id'} stands in the table {most} times")


def _check_complete(path: Path, genomes: Sequence[Genome]) -> None:
    have = {(genome.split, genome.label) for genome in genomes}
    missing = [f"{label} in {split}" for split in SPLITS for label in LABELS if (split, label) not in have]
    if missing:
        raise UsageError(
            f"{path}: train, val and test need viruses and hosts each; there is no {', no '.join(missing)}"
        )


def _files_beside(path: Path) -> dict[str, Path]:
    """Return the sequence files beside the table `path`, each once, by their real paths."""

    def is_sequence_file(file: Path) -> bool:
        name = Path(file.stem) if file.suffix in _COMPRESSIONS else file
        return name.suffix in _SUFFIXES and not file.name.startswith(".")

    found = [file for file in path.parent.iterdir() if is_sequence_file(file)]
    if not found:
        raise UsageError(f"{path}: lines without a file need a FASTA or GenBank file beside the table; there is none")
    return {os.path.realpath(file): file for file in sorted(found, reverse=True)}
