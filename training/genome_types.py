"""The genome type of a record: what a virus packs, or that it is a host.

    python -m training.genome_types GENOMES

prints how much of the viruses of the train split has a known type.
"""

import argparse
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from training.categories import category_of
from virnucpro_kernels.train.genomes import TABLE, read_split

#: Types of viruses as ICTV lists them, those with reverse transcription in one; then the hosts.
GENOME_TYPES = ("dsDNA", "ssDNA", "dsRNA", "ssRNA(+)", "ssRNA(-)", "reverse-transcribing", "host")
UNKNOWN = -1

#: Genome type of each family of the train split. A family with genomes of two types is not among them.
_TYPE_OF_FAMILY = dict(
    line.split("\t") for line in Path(__file__).with_name("genome_types.tsv").read_text(encoding="utf-8").splitlines()
)
#: Bases above which a virus of bacteria or archaea has double-stranded DNA: genomes of other types are shorter.
_LONG_PHAGE = 20_000


def genome_type_of(row: Mapping[str, str]) -> int:
    """Return the genome type of a row of `genomes.tsv`, an index into `GENOME_TYPES` or `UNKNOWN`."""
    if row["label"] != "virus":
        return GENOME_TYPES.index("host")
    name = _TYPE_OF_FAMILY.get(row["family"])
    if name is None and category_of(row) == "phage":
        is_long = int(row.get("end") or 0) > _LONG_PHAGE
        name = "dsDNA" if is_long or "Caudoviricetes" in row["family"] else None
    return UNKNOWN if name is None else GENOME_TYPES.index(name)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("genomes", type=Path, help="folder with genomes.tsv and <category>.fna.gz")
    bases: Counter[tuple[str, str]] = Counter()
    for genome, record in read_split(parser.parse_args().genomes / TABLE, "train"):
        if genome.line["label"] == "virus":
            number = genome_type_of(genome.line)
            name = "unknown" if number == UNKNOWN else GENOME_TYPES[number]
            bases[category_of(genome.line), name] += len(record.sequence)
    for (category, name), count in sorted(bases.items()):
        print(f"{category}\t{name}\t{count:,}")  # noqa: T201
    known = sum(count for (_, name), count in bases.items() if name != "unknown")
    print(f"known: {known / bases.total():.3f} of {bases.total():,} bases of viruses")  # noqa: T201


if __name__ == "__main__":
    main()
