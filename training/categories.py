"""What a record of the genomes is, more finely than virus or host: which viruses infect bacteria and archaea."""

import re
from collections.abc import Mapping
from pathlib import Path

VIRUSES = ("phage", "eukaryotic_virus")
#: Categories of hosts, and how often each is drawn: bacteria are the most diverse, organelles the least.
HOSTS = {
    "bacteria": 0.24,
    "archaea": 0.12,
    "vertebrate": 0.10,
    "fungi": 0.10,
    "invertebrate": 0.10,
    "plant": 0.08,
    "protozoa": 0.09,
    "plasmid": 0.12,
    "organelle": 0.05,
}

#: What infects or is a cell of either kind; plasmids and organelles are neither.
OF_PROKARYOTES = ("phage", "bacteria", "archaea")
OF_EUKARYOTES = ("eukaryotic_virus", "fungi", "protozoa", "plant", "invertebrate", "vertebrate")

#: Families of the viruses of bacteria and archaea (ICTV), as far as they occur in the genomes.
_PHAGE_FAMILIES = frozenset(Path(__file__).with_name("phage_families.txt").read_text(encoding="utf-8").split())


def category_of(row: Mapping[str, str]) -> str:
    """Return the category of a row of `genomes.tsv`: one of `VIRUSES` or `HOSTS`."""
    if row["label"] != "virus":
        return row["category"]
    family = row["family"].partition(" ")[0]
    is_phage = (
        family in _PHAGE_FAMILIES
        or "Caudoviricetes" in row["family"]
        or re.search("phage", row["organism"], re.IGNORECASE) is not None
    )
    return VIRUSES[not is_phage]
