"""What helps a training: labels of coding segments, genome types, codons of the other side, and AUROC on the way."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from Bio.Seq import Seq

from tests.training.test_compact import genomes as genomes  # the fixture
from training.augment import Augmentation, count_codons
from training.coding import CODING, LONG, NOT_CODING, UNKNOWN, label_segments, stretch_lengths
from training.codons import CODON_RESIDUES, CODONS
from training.compact import train
from training.genome_types import GENOME_TYPES, genome_type_of
from training.network import Segments
from training.recipes import RECIPES, Recipe
from training.windows import Genomes, fill_buckets, find_segments

CPU = torch.device("cpu")
_STOPS = ("TAA", "TAG", "TGA")


def _codes(sequence: str) -> np.ndarray:
    return np.array(["ACGTN".index(base) for base in sequence], np.uint8)


def _length_by_hand(sequence: str, place: int) -> int:
    """Codons of the stretch without a stop and without N around the codon at `place`."""

    def is_end(at: int) -> bool:
        codon = sequence[at : at + 3]
        return at < 0 or len(codon) < 3 or "N" in codon or codon in _STOPS

    if is_end(place):
        return 0
    first = last = place
    while not is_end(first - 3):
        first -= 3
    while not is_end(last + 3):
        last += 3
    return (last - first) // 3 + 1


def test_stretches_reach_from_stop_to_stop_on_both_strands() -> None:
    chance = np.random.default_rng(0)
    sequence = "".join(chance.choice(list("ACGTN"), 400, p=[0.24, 0.25, 0.25, 0.24, 0.02]))
    opposite = str(Seq(sequence).reverse_complement())
    found = stretch_lengths(_codes(sequence))
    assert found[0].tolist() == [_length_by_hand(sequence, place) for place in range(400)]
    assert found[1, :398].tolist() == [_length_by_hand(opposite, 397 - place) for place in range(398)]
    assert stretch_lengths(_codes("AC")).tolist() == [[0, 0], [0, 0]]


def test_the_longest_stretch_over_a_place_is_coding() -> None:
    stretches = torch.zeros(2, 9, dtype=torch.int16)
    stretches[0, 3], stretches[1, 4] = LONG + 50, LONG
    place, strand = torch.tensor([3, 4, 3, 7]), torch.tensor([0, 1, 1, 0])
    assert label_segments(stretches, place, strand).tolist() == [CODING, NOT_CODING, NOT_CODING, UNKNOWN]


def test_segments_lie_in_the_stretches_that_label_them(genomes: Path) -> None:
    split = Genomes(genomes, "train", CPU, finds_coding=True)
    windows = split.draw(60, 300, torch.Generator().manual_seed(0))
    runs = split.label_coding(find_segments(windows.codes), windows)
    assert set(runs.coding.tolist()) <= {CODING, NOT_CODING, UNKNOWN}
    # A segment is a part of its stretch, so the stretch at its middle is no shorter.
    columns = 101
    strand, offset = runs.start // columns % 6 // 3, runs.start // columns % 3
    middle = offset + 3 * (runs.start % columns + runs.length // 2)
    place = windows.start[runs.window] + torch.where(strand == 0, middle, 297 - middle)
    own = split._stretches[strand, place]
    assert (own >= runs.length).all()
    assert (own > runs.length).any()


def test_genome_types_are_those_of_the_families() -> None:
    row = {"label": "virus", "family": "Potyviridae", "organism": "a virus", "end": "9000"}
    names = [
        row,
        row | {"family": "Geminiviridae"},
        row | {"family": "", "organism": "Vibrio phage", "end": "40000"},
        row | {"label": "host", "family": "", "category": "plant"},
    ]
    assert [GENOME_TYPES[genome_type_of(row)] for row in names] == ["ssRNA(+)", "ssDNA", "dsDNA", "host"]
    unsure = [row | {"family": ""}, row | {"family": "", "organism": "Vibrio phage", "end": "5000"}]
    assert {genome_type_of(row) for row in unsure} == {UNKNOWN}


def _segments(codon: str, copies: int) -> Segments:
    windows = torch.from_numpy(np.tile(_codes(codon * 60), (copies, 1)))
    return fill_buckets(find_segments(windows), copies, None, torch.Generator())


def test_synonyms_have_the_frequencies_of_the_other_side() -> None:
    leucines = [codon for codon, residue in zip(CODONS, CODON_RESIDUES, strict=True) if residue == "L"]
    usage = torch.zeros(2, 64, dtype=torch.int64)
    usage[0, CODONS.index("TTA")] = usage[1, CODONS.index("CTG")] = 10**6
    segments, is_virus = _segments("CTC", 400), torch.arange(400) % 2 == 1
    assert int(count_codons(segments, is_virus)[0, CODONS.index("CTC")]) == 200 * 60
    changed = Augmentation(CPU, usage)(segments, is_virus, 0.0, torch.Generator().manual_seed(0))
    hosts, viruses = count_codons(changed, is_virus) - count_codons(segments, is_virus)
    for of_side, gained in ((hosts, "CTG"), (viruses, "TTA")):
        others = [CODONS.index(codon) for codon in leucines if codon not in (gained, "CTC")]
        assert of_side[CODONS.index(gained)] > 500
        assert of_side[others].sum() < 0.2 * of_side[CODONS.index(gained)]


@pytest.mark.parametrize("name", ["genome-types", "coding-frames", "other-codons"])
def test_a_recipe_goes_on_where_it_stopped(genomes: Path, tmp_path: Path, name: str) -> None:
    recipe = replace(RECIPES[name][0], steps=3, pretraining=1, windows=6)
    whole = train(genomes, tmp_path / "whole", recipe, CPU).state_dict()
    train(genomes, tmp_path / "parts", replace(recipe, steps=2), CPU)
    resumed = train(genomes, tmp_path / "parts", recipe, CPU).state_dict()
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())
    assert all(torch.isfinite(value).all() for value in whole.values())


def test_measuring_changes_nothing(
    genomes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.validation._WINDOWS", 20)
    recipe = Recipe(steps=3, pretraining=1, windows=6)
    plain = train(genomes, tmp_path / "plain", recipe, CPU).state_dict()
    measured = train(genomes, tmp_path / "measured", recipe, CPU, measure_every=1).state_dict()
    assert all(torch.equal(value, measured[key]) for key, value in plain.items())
    told = capsys.readouterr().out
    assert "measured, step 2; AUROC on val" in told
    assert "measured, end at step 3; AUROC on val" in told
