"""Pieces of genomes with their truth: where they are from, what they are, and the same bytes each time."""

import csv
import gzip
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from virnucpro_kernels.evaluate.truth import read_truth
from virnucpro_kernels.sequences.records import read_records

ROOT = Path(__file__).parents[2]
RECORDS = {
    "phage": ("viral", "virus", "val", "V:1", "Microviridae", "a phage"),
    "plant_virus": ("viral", "virus", "val", "V:2", "Potyviridae", "a virus"),
    "bacterium": ("bacteria", "host", "val", "H:1", "", "a bacterium"),
    "fungus": ("fungi", "host", "val", "H:2", "", "a fungus"),
    "mitochondrion": ("organelle", "host", "control", "H:4", "", "a fungus"),
    "other": ("fungi", "host", "train", "H:3", "", "another"),
}


@pytest.fixture(scope="module")
def genomes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, chance = tmp_path_factory.mktemp("genomes"), np.random.default_rng(0)
    with (folder / "genomes.tsv").open("w", newline="") as table:
        writer = csv.writer(table, delimiter="\t")
        writer.writerow(["seq_id", "category", "label", "split", "group", "family", "organism"])
        writer.writerows([name, *row] for name, row in RECORDS.items())
    for category in {row[0] for row in RECORDS.values()}:
        with gzip.open(folder / f"{category}.fna.gz", "wt") as file:
            for name in (name for name, row in RECORDS.items() if row[0] == category):
                bases = "".join(chance.choice(list("ACGT"), 2000))
                file.write(f">{name}\n{bases[:900]}{'N' * 50}{bases[950:]}\n")
    return folder


def make(genomes: Path, output: Path, *options: str) -> Path:
    command = [sys.executable, "-m", "training.truth", str(genomes), "--output", str(output), *options]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return output


def test_pieces_are_what_the_truth_says(genomes: Path, tmp_path: Path) -> None:
    options = ("--length", "300", "100-600", "--number", "40", "--controls", "5", "--shuffled", "10")
    folder = make(genomes, tmp_path / "pieces", *options)
    table: Any = pd.read_csv(folder / "truth.tsv", sep="\t", keep_default_na=False)
    sequences = {record.contig: record.sequence for record in read_records(folder / "contigs.fna.gz")}
    whole = {record.contig: record.sequence for path in genomes.glob("*.gz") for record in read_records(path)}
    assert list(sequences) == table["contig"].tolist()
    assert read_truth(folder / "truth.tsv").counts() == {"virus": 40, "host": 40, "control": 30}
    assert "other" not in set(table["record"]), "the split is val"
    for row in table.itertuples():
        source = whole[row.record][row.start : row.start + row.length]
        sequence = sequences[row.contig]
        assert b"N" not in sequence
        assert len(sequence) == row.length
        if row.category == "organelle":
            assert (row.label, row.record, sequence) == ("control", "mitochondrion", source)
        elif row.label == "control":
            assert (row.category, row.domain) == ("shuffled", "")
            assert sequence != source
            assert Counter(sequence) == Counter(source)
        else:
            assert sequence == source
            assert (row.label, row.group) == (RECORDS[row.record][1], RECORDS[row.record][3])
    lengths = table.query("label != 'control'")["length"]
    assert (lengths[:40] == 300).all()
    assert lengths[40:].between(100, 600).all()
    assert lengths[40:].nunique() > 10
    kinds = table.query("label != 'control'").groupby("record")[["category", "domain", "family"]].first()
    assert kinds.loc["phage"].tolist() == ["phage", "prokaryotes", "Microviridae"]
    assert kinds.loc["plant_virus"].tolist() == ["eukaryotic_virus", "eukaryotes", "Potyviridae"]
    assert kinds.loc["bacterium"].tolist() == ["bacteria", "prokaryotes", ""]

    again = make(genomes, tmp_path / "again", *options)
    assert all((again / name).read_bytes() == (folder / name).read_bytes() for name in ("contigs.fna.gz", "truth.tsv"))


def test_pieces_of_a_table_are_cut_where_it_says(genomes: Path, tmp_path: Path) -> None:
    windows = tmp_path / "windows.tsv.gz"
    with gzip.open(windows, "wt") as file:
        file.write("label\tcategory\tgroup\trecord\tstart\nhost\tfungi\tH:2\tfungus\t7\nvirus\tviral\tV:1\tphage\t0\n")
    folder = make(genomes, tmp_path / "pieces", "--windows", str(windows), "--length", "200")
    whole = {record.contig: record.sequence for path in genomes.glob("*.gz") for record in read_records(path)}
    pieces = [record.sequence for record in read_records(folder / "contigs.fna.gz")]
    assert pieces == [whole["fungus"][7:207], whole["phage"][:200]]
    assert read_truth(folder / "truth.tsv").texts["category"].tolist() == ["fungi", "phage"]
