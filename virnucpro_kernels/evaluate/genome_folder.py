"""A folder of genomes with their splits: `genomes.tsv`, and the sequences of each category."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.sequences.records import Record, read_records

TABLE = "genomes.tsv"


def read_split(folder: Path, split: str) -> Iterator[tuple[Record, Mapping[str, str]]]:
    """Yield the records of a split with their rows of `genomes.tsv`, by category: `<category>.fna.gz` of `folder`.

    Raises:
        UsageError: the table has no record of this split.
        FileNotFoundError: a file is missing.
    """
    with (folder / TABLE).open(newline="", encoding="utf-8") as table:
        rows = {row["seq_id"]: row for row in csv.DictReader(table, delimiter="\t") if row["split"] == split}
    if not rows:
        raise UsageError(f"{folder / TABLE}: no record of split {split!r}")
    for category in sorted({row["category"] for row in rows.values()}):
        for record in read_records(folder / f"{category}.fna.gz"):
            if row := rows.get(record.contig):
                yield record, row
