"""A folder of genomes with their splits: `genomes.tsv`, and the sequence files."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import expand_user
from virnucpro_kernels.sequences.records import Record, read_records

TABLE = "genomes.tsv"


def read_split(folder: Path, split: str) -> Iterator[tuple[Record, Mapping[str, str]]]:
    """Yield the records of a split with their rows of `genomes.tsv`, file by file.

    A row is of the record `seq_id`, or of all records without one, of the column `file`, or else of
    `<category>.fna.gz` in `folder`. A table without the column `split` has no other splits: all its records are taken.

    Raises:
        UsageError: the table has no record of this split, or does not say where the records are.
        FileNotFoundError: a file is missing.
    """
    path = folder / TABLE
    files: dict[str, dict[str, Mapping[str, str]]] = {}
    with path.open(newline="", encoding="utf-8") as table:
        lines = csv.DictReader(table, delimiter="\t")
        header = set(lines.fieldnames or ())
        if "file" not in header and not {"seq_id", "category"} <= header:
            raise UsageError(f"{path}: a table of genomes has the column file, or the columns seq_id and category")
        for row in lines:
            if row.get("split", split) == split:
                file = row.get("file") or f"{row.get('category')}.fna.gz"
                files.setdefault(file, {})[row.get("seq_id") or ""] = row
    if not files:
        raise UsageError(f"{path}: no record of split {split!r}")
    for file, rows in sorted(files.items()):
        for record in read_records(folder / expand_user(file)):
            if wanted := rows.get(record.contig) or rows.get(""):
                yield record, wanted
