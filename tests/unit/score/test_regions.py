"""Viral regions inside contigs, and the files that hold them."""

import gzip
from itertools import product
from pathlib import Path
from typing import Any

import gffutils
import numpy as np
import pandas as pd
import pytest

from tests.helpers.collect_runs import ODD, plain, run
from tests.helpers.contig_batches import Window, make_block
from tests.helpers.defaults import rule
from tests.helpers.synthetic_pool import Contig, write_pool
from virnucpro_kernels.score.regions import POSITIONS, Regions, find_regions, viral_path
from virnucpro_kernels.score.scoring import CALLS, score_contigs, score_windows


def contig(text: str, logit: float = 3.0) -> tuple[int, list[Window]]:
    """A contig of windows of 300 bases: `+` viral, `-` host, `.` without a score."""
    logits = {"+": {0: logit}, "-": {0: -logit}, ".": dict[int, float]()}
    windows: list[Window] = [(300 * place, 300 * place + 300, logits[sign]) for place, sign in enumerate(text)]
    return 300 * len(text), windows


def regions_of(*contigs: tuple[int, list[Window]], **values: Any) -> tuple[Regions, list[str]]:
    """Regions of contigs, and the contigs' calls."""
    batch, chosen = make_block(contigs), rule(**values)
    windows = score_windows(batch, chosen)
    scores = score_contigs(batch, windows, chosen)
    found = find_regions(batch, windows, scores, chosen)
    return found, [CALLS[call] for call in scores.call]


def described(found: Regions) -> list[tuple[int, int, int, str]]:
    """Contig, first window, window after the last, and position of each region."""
    places = zip(found.contig, found.start // 300, found.end // 300, found.position, strict=True)
    return [(int(contig), int(start), int(end), POSITIONS[position]) for contig, start, end, position in places]


@pytest.mark.parametrize("seed", range(20))
def test_the_path_is_the_best_of_all(seed: int) -> None:
    chance = np.random.default_rng(seed)
    counts = chance.integers(0, 9, 12)
    evidence = np.where(chance.random(counts.sum()) < 0.3, 0, chance.normal(0.2, 2, counts.sum()))
    found = viral_path(evidence, counts, 1.5)
    for first, count in zip(np.cumsum(counts) - counts, counts, strict=True):
        own = evidence[first : first + count]

        def worth(path: tuple[bool, ...], own: np.ndarray = own) -> float:
            return float(own @ np.array(path, float)) - 1.5 * int(np.count_nonzero(np.diff(np.array(path, int))))

        best = max(worth(path) for path in product([False, True], repeat=int(count)))
        assert worth(tuple(found[first : first + count].tolist())) == pytest.approx(best)


def test_regions_reach_the_ends_of_a_contig_or_lie_inside_it() -> None:
    texts = ["++++", "++++------", "------++++", "-----+++++-----", "----", "+++++------+++++++"]
    found, calls = regions_of(*map(contig, texts))
    assert described(found) == [
        *((0, 0, 4, "whole"), (1, 0, 4, "left"), (2, 6, 10, "right"), (3, 5, 10, "inside")),
        *((5, 0, 5, "left"), (5, 11, 18, "right")),
    ]
    assert calls == ["viral", "host", "host", "host", "host", "viral"]
    assert found.number.tolist() == [1, 1, 1, 1, 1, 2]
    assert found.windows.tolist() == found.scored_windows.tolist() == [4, 4, 4, 5, 5, 7]


def test_windows_without_a_score_are_no_evidence() -> None:
    texts = ["..++.+..", "---...+++++..+++...-----", "....", "-----..++++..", "+......+"]
    found, _ = regions_of(*map(contig, texts), min_covered_fraction=0)
    assert described(found) == [(0, 0, 8, "whole"), (1, 6, 16, "inside"), (3, 7, 13, "right"), (4, 0, 8, "whole")]
    assert found.scored_windows.tolist() == [3, 8, 4, 2]
    assert found.windows.tolist() == [8, 10, 6, 8]


def test_one_window_makes_no_region_however_sure_it_is() -> None:
    found, calls = regions_of(contig("----+-----", 30), contig("++++-++++", 30))
    assert described(found) == [(1, 0, 9, "whole")]
    assert calls == ["host", "viral"]


def test_a_viral_contig_has_a_region_and_one_without_a_call_has_none() -> None:
    chance = np.random.default_rng(0)
    texts = ["".join(chance.choice(list("+-."), chance.integers(1, 12))) for _ in range(300)]
    contigs = [contig(text, chance.choice([0.2, 1.0, 5.0])) for text in texts]
    for values in ({}, {"region_threshold": 0.9}, {"viral_threshold": 0.8, "min_scored_windows": 3}):
        found, calls = regions_of(*contigs, **values)
        with_region = set(found.contig.tolist())
        assert {index for index, call in enumerate(calls) if call == "viral"} <= with_region
        assert not with_region & {index for index, call in enumerate(calls) if call == "none"}
        whole = set(found.contig[found.position == POSITIONS.index("whole")].tolist())
        assert {calls[index] for index in whole} == {"viral"}


def test_regions_and_windows_share_borders_where_windows_overlap() -> None:
    windows: list[Window] = [(250 * n, 250 * n + 300, {0: 4.0 if n < 6 else -4.0}) for n in range(12)]
    found, _ = regions_of((3050, windows))
    assert (found.start.tolist(), found.end.tolist()) == ([0], [(1500 + 1550) // 2])
    assert (found.p_virus.tolist(), found.tier.tolist()) == ([0.982014], [2])


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Results of a sample with odd names, and with contigs that hold a virus inside."""
    length, windows = contig("-----+++++------+++++++")
    chimeras = [Contig(f"chimera;=%{name}", length, windows, f"number {name}") for name in "ab"]
    pool = write_pool(tmp_path / "pool", {"s": [*ODD, *chimeras, *plain(20)]})
    run(pool, "s", tmp_path / "out")
    return tmp_path / "out"


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", keep_default_na=False, na_values={"p_virus": ["NA"]})


def test_all_files_hold_the_same_regions(results: Path) -> None:
    table = read(results / "regions.tsv")
    inside = table[table["contig"] == "chimera;=%a"]
    assert inside[["region", "start", "end", "position"]].to_numpy().tolist() == [
        *([1, 1500, 3000, "inside"], [2, 4800, 6900, "right"]),
    ]
    assert (table["end"] - table["start"]).tolist() == table["length"].tolist()
    names = (table["contig"] + ":" + (table["start"] + 1).astype(str) + "-" + table["end"].astype(str)).tolist()

    bed = [line.split("\t") for line in (results / "regions.bed").read_text().splitlines()]
    assert [[line[0], int(line[1]), int(line[2])] for line in bed] == table[
        ["contig", "start", "end"]
    ].to_numpy().tolist()
    assert [line[3] for line in bed] == names
    assert [int(line[4]) for line in bed] == (1000 * table["p_virus"]).round().astype(int).tolist()

    fasta = gzip.decompress((results / "viral_regions.fna.gz").read_bytes()).decode()
    records = [record.split("\n", 1) for record in fasta.split(">")[1:]]
    assert [header.split(" ")[0] for header, _ in records] == names
    assert [len(sequence.replace("\n", "")) for _, sequence in records] == table["length"].tolist()
    contigs = read(results / "contigs.tsv")
    assert set(contigs["contig"][contigs["call"] == "viral"]) <= set(table["contig"])


def test_gff3_has_each_contig_and_its_regions_with_escaped_names(results: Path) -> None:
    table = read(results / "regions.tsv")
    first, *lines = (results / "regions.gff3").read_text().splitlines()
    assert first == "##gff-version 3"
    features = [line.split("\t") for line in lines if not line.startswith("#")]
    assert [(int(line[3]) - 1, int(line[4])) for line in features] == list(
        zip(table["start"], table["end"], strict=True)
    )
    assert {line[0] for line in features} >= {"chimera%3B%3D%25a", "%22quoted%22"}
    found = gffutils.create_db(str(results / "regions.gff3"), ":memory:", keep_order=True)
    assert [(f.seqid, f.start, f.end, f.featuretype, f.strand) for f in found.all_features(order_by="file_order")] == [
        (line[0], int(line[3]), int(line[4]), "viral_sequence", ".") for line in features
    ]
    assert {f.attributes["position"][0] for f in found.all_features()} == set(table["position"])
    assert found["chimera;=%a:1501-3000"].score == "0.952574"
    about = "##sequence-region chimera%3B%3D%25a 1 6900"
    assert lines.count(about) == 1
    assert lines[lines.index(about) + 1].split("\t")[8].startswith("ID=chimera%3B%3D%25a:1501-3000;position=inside;")
    assert len({line[8] for line in features}) == len(features)


def test_the_track_has_the_score_of_every_scored_window_without_overlaps(results: Path) -> None:
    windows = read(results / "windows.tsv")
    scored = windows[windows["status"] == "scored"].reset_index()
    names = ["contig", "start", "end", "p_virus"]
    track = pd.read_csv(results / "p_virus.bedgraph.gz", sep="\t", names=names, quoting=3, keep_default_na=False)
    assert track["contig"].tolist() == scored["contig"].tolist()
    assert track["p_virus"].tolist() == scored["p_virus"].tolist()
    assert ((track["start"] >= scored["start"]) & (track["end"] <= scored["end"])).all()
    same = track["contig"].eq(track["contig"].shift(-1))
    assert (track["start"].shift(-1)[same] >= track["end"][same]).all()
