"""`virnucpro evaluate --training-genomes`: contigs that share k-mers with the genomes of the training."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.evaluations import SMALL, Run, write


def write_fasta(path: Path, sequences: dict[str, str]) -> Path:
    with gzip.open(path, "wt") as file:
        file.writelines(f">{name} some words\n{sequence}\n" for name, sequence in sequences.items())
    return path


def reverse_complement(sequence: str) -> str:
    return sequence.translate(str.maketrans("ACGT", "TGCA"))[::-1]


def kmers(sequence: str) -> set[str]:
    """The 21-mers of both strands."""
    strands = (sequence, reverse_complement(sequence))
    return {strand[i : i + 21] for strand in strands for i in range(len(strand) - 20)}


def test_relatives_of_the_training_genomes_are_named_and_left_out_of_figures(tmp_path: Path, run: Run) -> None:
    chance = np.random.default_rng(3)
    names = [*(f"v{i}" for i in range(1, 5)), *(f"h{i}" for i in range(1, 5))]
    sequences = {name: "".join(chance.choice(list("ACGT"), 500)) for name in names}
    backwards = reverse_complement(sequences["v1"][150:260])  # 90 of 480 21-mers: 19 %
    training = {
        "copy": "".join(chance.choice(list("ACGT"), 3000)) + reverse_complement(sequences["v2"][:200]).lower(),
        "little": "N" + backwards + "N" + sequences["h1"][:20] + "N",
    }
    truth = write(
        tmp_path / "truth.tsv", ["contig", "label"], [(name, {"v": "virus", "h": "host"}[name[0]]) for name in names]
    )
    scores = write(tmp_path / "s.tsv", ["contig", "score"], SMALL.items())
    fasta = write_fasta(tmp_path / "contigs.fna.gz", {name: s for name, s in sequences.items() if name != "h4"})
    genomes = write_fasta(tmp_path / "training.fna.gz", training)
    ended = run(scores, "--truth", truth, "--training-genomes", genomes, "--sequences", fasta)
    assert ended.code == 0, ended.text
    assert "of 1 contig, at least 20 % of the 21-mers are in them" in ended.text
    assert "`unrelated` is without v2." in ended.text
    assert "no sequence to compare with them: 1 contig" in ended.text
    known = {kmer for genome in training.values() for kmer in kmers(genome.upper())}
    shared = np.mean([not known.isdisjoint(kmers(sequences["v2"][i : i + 21])) for i in range(480)])
    found = json.loads((ended.folder / "evaluation.json").read_text())["related_to_training"]
    assert found == {"v2": pytest.approx(shared, abs=1e-4)}
    assert (ended.row("auroc").n, ended.row("auroc", "unrelated").n) == (8, 7)
    assert ended.row("auroc", "unrelated").value == pytest.approx(6 / 12)

    folder = tmp_path / "genomes"
    folder.mkdir()
    write_fasta(folder / "viral.fna.gz", {"copy": sequences["v1"], "other": sequences["v3"]})
    columns = ["file", "seq_id", "label", "category", "group"]
    lines = [("", name, "virus", "phage", name, split) for name, split in (("copy", "train"), ("other", "val"))]
    write(folder / "genomes.tsv", [*columns, "split"], lines)
    ended = run(scores, "--truth", truth, "--training-genomes", folder, "--sequences", fasta)
    assert "`unrelated` is without v1." in ended.text, "of a folder, the split train counts"

    (folder / "sequences").mkdir()
    (folder / "viral.fna.gz").rename(folder / "sequences" / "1.fna.gz")
    for seq_ids in (["copy", "other"], [""]):
        rows = [("sequences/1.fna.gz", seq_id, "virus", "phage", seq_id or "all") for seq_id in seq_ids]
        write(folder / "genomes.tsv", columns, rows)
        ended = run(scores, "--truth", truth, "--training-genomes", folder, "--sequences", fasta)
        assert "`unrelated` is without v1, v3." in ended.text, "a table to train with, which leaves the split to us"
    write(folder / "genomes.tsv", ["seq_id"], [("copy",)])
    ended = run(scores, "--truth", truth, "--training-genomes", folder, "--sequences", fasta)
    assert ended.code == 5, ended.text
    assert "genomes.tsv: a table of genomes has the tab-separated columns label, category, group" in ended.text
