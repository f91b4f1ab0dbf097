"""The demonstration contigs are what their README says."""

import gzip
import hashlib
import re
from pathlib import Path

DATA = Path(__file__).parents[2] / ".test" / "data"


def test_demo_is_what_its_readme_says() -> None:
    text = gzip.decompress((DATA / "demo.fna.gz").read_bytes())
    readme = (DATA / "README.md").read_text()
    assert f"`{hashlib.sha256(text).hexdigest()}`" in readme

    contigs = {}
    for record in text.decode("ascii").split(">")[1:]:
        header, *lines = record.splitlines()
        contigs[header.split()[0]] = "".join(lines)
    total = sum(map(len, contigs.values()))
    assert f"{len(contigs)} contigs, {total:,} bp" in readme
    assert 300_000 <= total <= 400_000
    assert all(300 <= len(sequence) <= 20_000 and set(sequence) <= set("ACGT") for sequence in contigs.values())

    table = {}
    for line in readme.splitlines():
        if line.startswith("| ") and not line.startswith("| accession"):
            accessions, _, _, count, bases, _ = (cell.strip() for cell in line.strip("|").split("|"))
            table[accessions] = (int(count), int(bases.replace(",", "")))
    found = dict.fromkeys(table, (0, 0))
    for contig, sequence in contigs.items():
        place = re.fullmatch(r"([^:]+):(?:c?)(\d+)-(\d+)", contig)
        assert place is not None, contig
        accession, first, last = place.groups()
        assert len(sequence) == abs(int(last) - int(first)) + 1
        row = next(key for key in table if accession in key.split(", "))
        found[row] = (found[row][0] + 1, found[row][1] + len(sequence))
    assert found == table
