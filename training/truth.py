"""Writes pieces of real genomes with what they are, so that any tool can be run on them and evaluated.

    python -m training.truth GENOMES --split val --length 500 --number 4000 --output DIR [--controls 500 --shuffled 500]
    virnucpro predict DIR/contigs.fna.gz --output-dir out && virnucpro evaluate out --truth DIR/truth.tsv

Half of the pieces of each length are viral; categories of a class and groups of a category are as likely as each other.
Controls count in false positive rates only: plasmids and organelles of the split `control`, and shuffled pieces, which
keep their composition and nothing else. With --windows, the pieces are those of a table (columns record and start)
instead of drawn ones.
"""

import argparse
import csv
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.categories import OF_EUKARYOTES, OF_PROKARYOTES, category_of
from training.genomes import Genomes, Place
from virnucpro_kernels.files import atomic_path
from virnucpro_kernels.pool.tsv import write_rows
from virnucpro_kernels.score.tables import deterministic_gzip
from virnucpro_kernels.score.viral_fasta import fasta_entry
from virnucpro_kernels.train.genomes import TABLE, read_split

#: Whose cells each category is or infects; plasmids, organelles and shuffled pieces have none.
_DOMAINS = dict.fromkeys(OF_PROKARYOTES, "prokaryotes") | dict.fromkeys(OF_EUKARYOTES, "eukaryotes")

#: Pieces with their lengths.
Pieces = Iterator[tuple[Place, int]]


@dataclass(frozen=True)
class Known:
    """A row of the truth."""

    contig: str
    label: str
    category: str
    domain: str
    group: str
    family: str
    length: int
    record: str
    start: int


def draw(genomes: Genomes, lengths: Sequence[str], number: int, chance: np.random.Generator) -> Pieces:
    """Yield pieces and their lengths: `number` of each of `lengths`, half of them viral where both labels are there.

    A length is a number of bases, or a range as in `150-20000`, of which short and long ones are drawn alike.
    """
    for text in lengths:
        shortest, _, longest = text.partition("-")
        limits = np.log([int(shortest), int(longest or shortest)])
        for place in range(number):
            length = round(float(np.exp(chance.uniform(*limits))))
            label = genomes.labels[place % len(genomes.labels)]
            yield genomes.draw_place(label, length, chance), length


def listed(folder: Path, split: str, table: Path, length: int) -> Pieces:
    """Yield the pieces of a table with the columns `record` and `start`."""
    records = {record.contig: (record, genome.line) for genome, record in read_split(folder / TABLE, split)}
    with gzip.open(table, "rt", newline="") if table.suffix == ".gz" else table.open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["record"] not in records:
                raise SystemExit(f"{table}: {row['record']} is no record of split {split!r}")
            yield Place(*records[row["record"]], int(row["start"])), length


def write(output: Path, pieces: Pieces, controls: Pieces, shuffled: Pieces, chance: np.random.Generator) -> int:
    """Write `contigs.fna.gz` and `truth.tsv`; return the number of pieces.

    Args:
        output: Folder of both.
        pieces: Pieces of viruses and hosts.
        controls: Pieces that are controls, whatever they are of.
        shuffled: Pieces to shuffle, which are controls too.
        chance: Decides how pieces are shuffled.
    """
    known = []
    with atomic_path(output / "contigs.fna.gz") as temporary, deterministic_gzip(temporary) as file:
        for kind, group in (("piece", pieces), ("control", controls), ("shuffled", shuffled)):
            for number, (place, length) in enumerate(group, start=1):
                bases = place.record.sequence[place.start : place.start + length]
                if kind == "shuffled":
                    bases = chance.permutation(np.frombuffer(bases, np.uint8)).tobytes()
                known.append(_known(kind, number, place, length))
                file.write(fasta_entry(known[-1].contig, bases))
    write_rows(output / "truth.tsv", Known, known)
    return len(known)


def _known(kind: str, number: int, place: Place, length: int) -> Known:
    label = place.row["label"] if kind == "piece" else "control"
    category = "shuffled" if kind == "shuffled" else category_of(place.row)
    domain = _DOMAINS.get(category, "")
    return Known(
        f"{kind}_{length}_{number}", label, category, domain, place.row["group"], place.row["family"], length,
        place.record.contig, place.start,
    )  # fmt: skip


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("genomes", type=Path, help="folder with genomes.tsv and <category>.fna.gz")
    parser.add_argument("--output", type=Path, required=True, help="folder for contigs.fna.gz and truth.tsv")
    parser.add_argument("--split", default="val", help="train, val, test, …; choose everything on val")
    parser.add_argument("--length", nargs="+", default=["500"], help="bp, or ranges as in 150-20000")
    parser.add_argument("--number", type=int, default=4000, help="pieces of each length")
    parser.add_argument("--controls", type=int, default=0, metavar="NUMBER", help="of the split control, each length")
    parser.add_argument("--shuffled", type=int, default=0, metavar="NUMBER", help="shuffled pieces of each length")
    parser.add_argument("--windows", type=Path, help="table of the pieces, each of the one --length")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance, genomes = np.random.default_rng(options.seed), Genomes(options.genomes, options.split)
    if options.windows:
        pieces = listed(options.genomes, options.split, options.windows, int(options.length[0]))
    else:
        pieces = draw(genomes, options.length, options.number, chance)
    controls: Pieces = iter(())
    if options.controls:
        controls = draw(Genomes(options.genomes, "control"), options.length, options.controls, chance)
    shuffled = draw(genomes, options.length, options.shuffled, chance)
    number = write(options.output, pieces, controls, shuffled, chance)
    print(f"{number:,} pieces in {options.output}")  # noqa: T201


if __name__ == "__main__":
    main()
