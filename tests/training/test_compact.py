"""Training of the compact model: the segments of the package, and the same weights after an interruption."""

import csv
import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from training.codons import CODONS
from training.compact import train, write_model
from training.network import COMPACT, TEACHER, CompactNetwork
from training.recipes import Recipe
from training.windows import CATEGORIES, Genomes, fill_buckets, find_segments
from virnucpro_kernels.sequences.arrays import SequenceArray
from virnucpro_kernels.split.frames import frame_sequences
from virnucpro_kernels.split.windows import place_windows
from virnucpro_kernels.weights.load import verify
from virnucpro_kernels.weights.registry import find_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def genomes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phage, a virus of plants and three hosts, one of which is of another split."""
    folder, chance = tmp_path_factory.mktemp("genomes"), np.random.default_rng(0)
    rows = [
        ("p1", "viral", "virus", "train", "V:1", "Microviridae", "phage"),
        ("v1", "viral", "virus", "train", "V:2", "Potyviridae", "virus"),
        ("b1", "bacteria", "host", "train", "H:1", "", "a bacterium"),
        ("b2", "bacteria", "host", "val", "H:2", "", "another"),
        ("f1", "fungi", "host", "train", "H:3", "", "a fungus"),
    ]
    with (folder / "genomes.tsv").open("w", newline="") as table:
        writer = csv.writer(table, delimiter="\t")
        writer.writerow(["seq_id", "category", "label", "split", "group", "family", "organism"])
        writer.writerows(rows)
    for category in {row[1] for row in rows}:
        records = []
        for name, *_ in (row for row in rows if row[1] == category):
            sequence = "".join(chance.choice(list("ACGT"), 4000, p=[0.2, 0.3, 0.3, 0.2]))
            records.append(f">{name}\n{sequence[:1500]}NNN{sequence[1500:]}\n")
        (folder / f"{category}.fna.gz").write_bytes(gzip.compress("".join(records).encode()))
    return folder


def test_windows_are_of_the_split_and_their_segments_those_of_the_package(genomes: Path) -> None:
    split = Genomes(genomes, "train", CPU)
    drawn = split.draw(200, 330, torch.Generator().manual_seed(0))
    codes = drawn.codes
    assert codes.shape == (200, 330)
    names = [CATEGORIES[category] for category in split.category[drawn.record].tolist()]
    assert {"phage", "eukaryotic_virus", "bacteria", "fungi"} == set(names)
    assert 70 < names.count("phage") + names.count("eukaryotic_virus") < 130

    without_phages = Genomes(genomes, "train", CPU, left_out={"V:1"})
    records = without_phages.draw(100, 330, torch.Generator().manual_seed(0)).record
    assert CATEGORIES.index("phage") not in without_phages.category[records].tolist()

    text = [bytes(b"ACGT"[code] for code in window) for window in codes.tolist()]
    sequences = SequenceArray.from_list(text)
    windows = place_windows(sequences.lengths, 330, "segments")
    frames, nucleotides, _ = frame_sequences(sequences, windows, "segments")
    expected = sorted(zip(frames.window.tolist(), nucleotides, strict=True))
    runs = find_segments(codes)
    found = [
        (window, "".join(CODONS[codon] for codon in runs.codons[start : start + length]).encode())
        for window, start, length in zip(runs.window.tolist(), runs.start.tolist(), runs.length.tolist(), strict=True)
    ]
    assert sum(len(sequence) for _, sequence in found) == sum(len(sequence) for _, sequence in expected)
    # Of equally long parts either may be taken.
    assert len(set(found) & set(expected)) > 0.9 * len(expected)


def test_an_interrupted_training_ends_with_the_same_weights(genomes: Path, tmp_path: Path) -> None:
    recipe = Recipe(steps=3, pretraining=1, windows=6, help_of_hidden=0.2)
    whole = train(genomes, tmp_path / "whole", recipe, CPU)
    train(genomes, tmp_path / "parts", replace(recipe, steps=1), CPU)
    resumed = train(genomes, tmp_path / "parts", recipe, CPU)
    state = resumed.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in whole.state_dict().items())
    with pytest.raises(SystemExit, match="another recipe"):
        train(genomes, tmp_path / "parts", replace(recipe, windows=7), CPU)

    pupil = Recipe(steps=2, windows=6)
    taught = train(genomes, tmp_path / "taught", pupil, CPU, whole)
    train(genomes, tmp_path / "taught-parts", replace(pupil, steps=1), CPU, whole)
    again = train(genomes, tmp_path / "taught-parts", pupil, CPU, whole).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in taught.state_dict().items())
    assert taught.sizes == COMPACT != whole.sizes

    write_model(taught, tmp_path / "mine", pupil)
    model = find_model(str(tmp_path / "mine"))
    assert verify(model) == []
    assert model.adds_frames


def test_a_pupil_follows_its_teacher_and_not_the_labels_alone(genomes: Path, tmp_path: Path) -> None:
    teacher = CompactNetwork(TEACHER, len(CATEGORIES)).eval()
    torch.nn.init.zeros_(teacher.output.weight)
    with torch.no_grad():
        teacher.output.bias[1] = 4.0  # to it, every segment is viral
    recipe = Recipe(steps=12, windows=6, warm_up=1)
    pupil = train(genomes, tmp_path / "pupil", recipe, CPU, teacher)
    windows = Genomes(genomes, "train", CPU).draw(20, 300, torch.Generator().manual_seed(1)).codes
    segments = fill_buckets(find_segments(windows), len(windows), None, torch.Generator())
    with torch.no_grad():
        assert (pupil(segments)[0][segments.window < len(windows), 0] > 0).all()
