"""Tables of genomes with their sequence files, and GenBank records with coding sequences on both strands."""

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from Bio import SeqIO
from Bio.Seq import Seq
from Bio.SeqFeature import CompoundLocation, SeqFeature, SimpleLocation
from Bio.SeqRecord import SeqRecord

#: Lines of the table of genomes: seq_id, label, category, group, split.
LINES = (
    ("v1", "virus", "phage", "a", "train"),
    ("v2", "virus", "phage", "b", "train"),
    ("v3", "virus", "plant_virus", "c", "train"),
    ("v4", "virus", "phage", "d", "val"),
    ("v5", "virus", "phage", "e", "test"),
    ("h1", "host", "bacteria", "f", "train"),
    ("h2", "host", "bacteria", "g", "val"),
    ("h3", "host", "fungi", "h", "test"),
)


def write_table(
    path: Path, lines: Sequence[Sequence[str]] = LINES, header: str = "seq_id label category group split"
) -> Path:
    """Write a table of genomes."""
    path.write_text("".join("\t".join(line) + "\n" for line in (header.split(), *lines)))
    return path


def write_genomes(folder: Path, length: int = 6000, unknown: slice = slice(0)) -> Path:
    """Write random sequences, of viruses and of hosts, beside their table; `unknown` bases of each are N."""
    chance = np.random.default_rng(0)
    for name in ("virus", "host"):
        records = []
        for seq_id, label, *_ in LINES:
            bases = chance.choice(list(b"ACGTacgt"), length).astype(np.uint8)
            bases[unknown] = ord("N")
            if label == name:
                records.append(f">{seq_id} of {label}\n{bases.tobytes().decode()}\n")
        with gzip.open(folder / f"{name}.fna.gz", "wt") as file:
            file.writelines(records)
    return write_table(folder / "genomes.tsv")


def coding_record(seq_id: str, seed: int) -> SeqRecord:
    """A record with genes on both strands, one of two exons, one that begins in the middle of a codon, and a
    pseudogene."""
    chance = np.random.default_rng(seed)
    senses = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT" if a + b + c not in ("TAA", "TAG", "TGA")]

    def gene(codons: int) -> str:
        return "ATG" + "".join(chance.choice(senses, codons)) + "TAA"

    def spacer(bases: int) -> str:
        return "".join(chance.choice(list("ACGT"), bases))

    one, two, spliced, partial, pseudo = gene(200), gene(200), gene(300), gene(150)[2:], gene(150)
    cut = 400  # in the middle of a codon
    parts = [spacer(100), one, spacer(50), str(Seq(two).reverse_complement()), spacer(31)]
    exons = [str(Seq(spliced[cut:]).reverse_complement()), spacer(77), str(Seq(spliced[:cut]).reverse_complement())]
    parts += [*exons, spacer(10), partial, spacer(20), pseudo]
    starts = np.cumsum([0, *map(len, parts)]).tolist()

    def place(number: int, strand: int) -> SimpleLocation:
        return SimpleLocation(starts[number], starts[number + 1], strand)

    features = [
        _cds(place(1, 1), one),
        _cds(place(3, -1), two),
        _cds(CompoundLocation([place(7, -1), place(5, -1)]), spliced),
        _cds(place(9, 1), partial[1:], codon_start=2),
        SeqFeature(place(11, 1), "CDS", qualifiers={"pseudogene": ["unknown"]}),
    ]
    return SeqRecord(
        Seq("".join(parts)), seq_id, seq_id, "coding", features=features, annotations={"molecule_type": "DNA"}
    )


def _cds(location: SimpleLocation | CompoundLocation, coding: str, codon_start: int = 1) -> SeqFeature:
    translation = str(Seq(coding).translate()).rstrip("*")
    return SeqFeature(location, "CDS", qualifiers={"codon_start": [codon_start], "translation": [translation]})


def write_coding_genomes(folder: Path) -> Path:
    """Write GenBank files, one a label, beside their table."""
    for name in ("virus", "host"):
        records = [coding_record(seq_id, number) for number, (seq_id, label, *_) in enumerate(LINES) if label == name]
        SeqIO.write(records, folder / f"{name}.gbff", "genbank")
    return write_table(folder / "genomes.tsv")
