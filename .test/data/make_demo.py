"""Builds demo.fna.gz from genomes that come with packages of the field (see README.md); the same bytes every time.

    python .test/data/make_demo.py --biopython biopython-1.88.tar.gz \
        --bowtie2 bowtie2-examples_2.5.0-3_all.deb --bowtie bowtie-examples_1.3.1-1_all.deb
"""

import argparse
import gzip
import io
import random
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

from Bio import SeqIO
from Bio.SeqRecord import SeqRecord

SHORTEST, LONGEST = 300, 20_000
#: First and last base (1-based) of the piece of E. coli 536; a lambdoid prophage lies in the middle of it.
COLI_RANGE = (1_140_001, 1_270_000)


def biopython_records(archive: Path) -> Iterator[SeqRecord]:
    """Influenza segments, parvovirus genes, a plasmid and a chloroplast from Biopython's own test files."""
    files = ["KF527485.gbk", "HM138502.gbk", "EU851978.gbk", "gbvrl1_start.seq", "NC_005816.gb", "NC_000932.gb"]
    with tarfile.open(archive) as tar:
        root = tar.getnames()[0].split("/")[0]
        for name in files:
            member = tar.extractfile(f"{root}/Tests/GenBank/{name}")
            assert member is not None, name
            yield from SeqIO.parse(io.TextIOWrapper(member), "genbank")


def debian_record(package: Path, path: str, accession: str, name: str) -> SeqRecord:
    """The one FASTA record at `path` of a Debian package, named by its accession."""
    unpacked = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as tar:
        member = tar.extractfile(f"./usr/share/doc/{path}")
        assert member is not None, path
        record = SeqIO.read(io.StringIO(gzip.decompress(member.read()).decode()), "fasta")
    assert accession in record.id, record.id
    return SeqRecord(record.seq, id=accession, description=name)


def cut(record: SeqRecord, first: int, last: int, chance: random.Random) -> Iterator[tuple[str, str]]:
    """Header and sequence of contigs that tile bases `first`…`last` (1-based): many short, few long, either strand."""
    name = record.description.removeprefix(record.id).strip().rstrip(".")
    while first <= last:
        length = round(SHORTEST * (LONGEST / SHORTEST) ** (chance.random() ** 1.3))
        end = first + length - 1
        if last - end < SHORTEST:  # what is left would be too short for a contig of its own
            end = last if last - first < LONGEST else last - SHORTEST
        piece = record.seq[first - 1 : end]
        if chance.random() < 0.5:
            yield f"{record.id}:{first}-{end} {name}", str(piece)
        else:  # as NCBI writes the other strand
            yield f"{record.id}:c{end}-{first} {name}", str(piece.reverse_complement())
        first = end + 1


def main() -> None:
    """Write the contigs of all sources, in the order of the table in README.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--biopython", type=Path, required=True, help="source distribution of Biopython 1.88")
    parser.add_argument("--bowtie2", type=Path, required=True, help="Debian package bowtie2-examples")
    parser.add_argument("--bowtie", type=Path, required=True, help="Debian package bowtie-examples")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("demo.fna.gz"))
    options = parser.parse_args()

    chance = random.Random(536)
    contigs: list[tuple[str, str]] = []
    for record in biopython_records(options.biopython):
        if len(record) < 5_000:  # segments and genes stay whole
            contigs.append((f"{record.id}:1-{len(record)} {record.description.rstrip('.')}", str(record.seq)))
        else:
            contigs.extend(cut(record, 1, len(record), chance))
    lambda_phage = debian_record(
        options.bowtie2,
        "bowtie2/examples/reference/lambda_virus.fa.gz",
        "NC_001416.1",
        "Enterobacteria phage lambda, complete genome",
    )
    contigs.extend(cut(lambda_phage, 1, len(lambda_phage), chance))
    coli = debian_record(
        options.bowtie,
        "bowtie/examples/genomes/NC_008253.fna.gz",
        "NC_008253.1",
        "Escherichia coli 536, complete genome",
    )
    contigs.extend(cut(coli, *COLI_RANGE, chance))

    text = "".join(f">{header}\n{wrap(sequence)}" for header, sequence in contigs)
    options.output.write_bytes(gzip.compress(text.encode("ascii"), mtime=0))


def wrap(sequence: str) -> str:
    """Lines of 70 columns."""
    return "".join(f"{sequence[start : start + 70]}\n" for start in range(0, len(sequence), 70))


if __name__ == "__main__":
    main()
