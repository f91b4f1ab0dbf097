"""The measurement of viral regions: its figures, and the prophages of a GenBank file."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from Bio import SeqIO
from Bio.Seq import Seq
from Bio.SeqFeature import SeqFeature, SimpleLocation
from Bio.SeqRecord import SeqRecord

from tests.helpers.contig_batches import Window, make_block
from tests.helpers.defaults import rule
from training.regions import OTHERS, Accuracy, prophages
from virnucpro_kernels.score.regions import regions_of
from virnucpro_kernels.score.scoring import score_windows


def test_prophages_are_clusters_of_phage_genes(tmp_path: Path) -> None:
    record = SeqRecord(Seq("ACGT" * 20_000), "chromosome", annotations={"molecule_type": "DNA"})
    starts = [*range(5_000, 11_000, 1_000), *range(40_000, 44_000, 1_000), 60_000, 71_000]
    for start in starts:
        gene = SeqFeature(SimpleLocation(start, start + 900), "CDS", qualifiers={"is_phage": ["1"]})
        record.features.append(gene)
    record.features.append(SeqFeature(SimpleLocation(20_000, 21_000), "CDS", qualifiers={"product": ["of the host"]}))
    with gzip.open(tmp_path / "x.gb.gz", "wt") as file:
        SeqIO.write(record, file, "genbank")
    sequences, truth = prophages(tmp_path / "x.gb.gz")
    assert [len(sequence) for sequence in sequences] == [80_000]
    assert truth == [[(5_000, 10_900)]], "six genes; four are too few, and single ones too"


def test_accuracy_counts_bases_numbers_and_borders() -> None:
    windows: list[Window] = [(300 * n, 300 * n + 300, {0: 4.0}) for n in range(10)]
    batch = make_block([(3000, windows), (3000, windows)])
    viral = np.zeros(20, np.bool_)
    viral[2:6] = viral[10:20] = True
    regions = regions_of(batch, score_windows(batch, rule()), viral, rule())
    measured = Accuracy.of(regions, [[(900, 1900)], []], [3000, 3000])
    assert measured.found == 2
    assert measured.precision == pytest.approx(900 / (1200 + 3000))
    assert measured.recall == pytest.approx(0.9)
    assert measured.right_number == 0.5
    assert measured.border_error == pytest.approx(np.median([300, 100]))


@pytest.mark.parametrize("name", OTHERS)
def test_other_methods_find_a_clear_virus(name: str) -> None:
    windows: list[Window] = [(300 * n, 300 * n + 300, {0: 4.0 if 30 <= n < 60 else -4.0}) for n in range(100)]
    batch = make_block([(30_000, windows)])
    viral = OTHERS[name](batch, score_windows(batch, rule()), 0.6)
    assert abs(np.flatnonzero(viral)[[0, -1]] - [30, 59]).max() <= 8
    assert 14 <= viral.sum() <= 46
