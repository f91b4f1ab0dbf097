"""Contig tables in one pass, and the windows of a few contigs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.collect_runs import run
from tests.helpers.synthetic_pool import Pool
from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.report.tables import (
    BINS_PER_DECADE,
    CALLS,
    GROUPS,
    P_BINS,
    evidence_order,
    shares,
    summarise_contigs,
)
from virnucpro_kernels.report.tracks import joined, read_tracks


@pytest.fixture
def results(pool: Pool, tmp_path: Path) -> Path:
    run(pool, "first", tmp_path / "first")
    return tmp_path / "first"


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", keep_default_na=False, na_values={"p_virus": ["NA"]})


def test_counts_are_those_of_the_table(results: Path) -> None:
    found, table = summarise_contigs(results / "contigs.tsv", 100), read(results / "contigs.tsv")
    called = table["tier"].where(table["call"] == "viral", table["call"].replace("none", "too_little_evidence"))
    groups = called.where(table["status"] == "scored", table["status"])
    assert dict(zip(GROUPS, found.contigs.tolist(), strict=True)) == {
        group: int((groups == group).sum()) for group in GROUPS
    }
    assert dict(zip(GROUPS, found.bases.tolist(), strict=True)) == {
        group: int(table["length"][groups == group].sum()) for group in GROUPS
    }
    scored = table[table["status"] == "scored"]
    edges = np.linspace(0, 1, P_BINS + 1)
    for call, counts in zip(CALLS, found.scores, strict=True):
        expected, _ = np.histogram(scored["p_virus"][scored["call"] == call], edges)
        assert counts.tolist() == expected.tolist()
    expected, _ = np.histogram(np.log10(scored["length"]), np.arange(len(found.lengths) + 1) / BINS_PER_DECADE)
    assert found.lengths.sum(axis=1).tolist() == expected.tolist()


def test_the_rows_with_most_evidence_are_kept_in_their_order(results: Path) -> None:
    every, few = (summarise_contigs(results / "contigs.tsv", kept).top for kept in (100, 5))
    assert few.equals(every.slice(0, 5))
    keys = [
        (row["call"] != "viral", -row["viral_windows"], -(row["p_virus"] if row["p_virus"] is not None else -1))
        for row in every.to_pylist()
    ]
    assert keys == sorted(keys)
    assert sorted(every["contig"].to_pylist()) == sorted(read(results / "contigs.tsv")["contig"])
    assert evidence_order(every).tolist() == list(range(len(every)))
    hosts = [row["contig"] for row in every.to_pylist() if row["call"] == "host"]
    first = summarise_contigs(results / "contigs.tsv", 100, hosts[-1:]).top
    assert [row["contig"] for row in first.to_pylist() if row["candidate"]][-1] == hosts[-1]


def test_names_are_read_as_they_are(pool: Pool, tmp_path: Path) -> None:
    run(pool, "odd", tmp_path / "odd")
    names = summarise_contigs(tmp_path / "odd" / "contigs.tsv", 100).top["contig"].to_pylist()
    assert {'"quoted"', 'mid"quote;semicolon', "NA", "'single", "Übergröße_日本|x"} <= set(names)
    tracks = read_tracks(tmp_path / "odd" / "windows.tsv", ["NA", 'mid"quote;semicolon', "'single"])
    assert [len(track) for track in tracks.values()] == [1, 3, 0]
    assert tracks['mid"quote;semicolon']["best_frame"].to_pylist() == ["NA", "F2", "R3"]


@pytest.mark.parametrize(
    ("old", "new"), [("\tscored\t", "\tstrange\t"), ("\t300\t", "\tmany\t"), ("\tcontig\t", "\tcontigs\t")]
)
def test_a_damaged_table_is_named(results: Path, old: str, new: str) -> None:
    table = results / "contigs.tsv"
    table.write_text(table.read_text().replace(old, new))
    with pytest.raises(DamagedFileError, match=r"contigs\.tsv: the table is damaged"):
        summarise_contigs(table, 10)


def test_shares_are_equal_and_what_some_do_not_need_goes_to_others() -> None:
    assert shares([5, 100, 100], 65) == [5, 30, 30]
    assert shares([0, 3, 2], 100) == [0, 3, 2]
    assert shares([10, 10, 10], 8) == [2, 3, 3]


def test_joined_windows_have_the_score_of_a_contig_of_them(results: Path) -> None:
    contigs = read(results / "contigs.tsv").query("scored_windows > 1")
    tracks = read_tracks(results / "windows.tsv", contigs["contig"].tolist())
    for name, p_virus in zip(contigs["contig"], contigs["p_virus"], strict=True):
        track = tracks[name]
        whole, size = joined(track, 1)
        assert size == len(track)
        (row,) = whole.to_pylist()
        assert (row["start"], row["end"]) == (track["start"][0].as_py(), track["end"][-1].as_py())
        assert row["p_virus"] == pytest.approx(p_virus, abs=1e-5)
        assert joined(track, len(track)) == (track, 1)
