"""The comparison of settings, on small tables."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.tools.sweep import compare_settings
from virnucpro_kernels.tools.sweep_figure import draw

#: Contig, status, call and p_virus of a sample under two settings.
FIRST = [("a", "scored", "viral", "0.9"), ("b", "scored", "host", "0.1"), ("c", "too_short", "none", "NA")]
SECOND = [("a", "scored", "none", "0.6"), ("b", "scored", "host", "0.2"), ("c", "scored", "viral", "0.7")]


def write_results(folder: Path, contigs: Sequence[tuple[str, ...]], *, fraction: float | None = 0.5) -> None:
    folder.mkdir(parents=True)
    lines = [("contig", "status", "call", "p_virus"), *contigs]
    (folder / "contigs.tsv").write_text("".join("\t".join(line) + "\n" for line in lines))
    record = {
        "model": {"name": "m"},
        "parameters": {"geometry": "500-original" if contigs else None, "scores": {"protein_precision": "fp32"}},
        "pool": {"fraction": fraction},
        "stages": {stage: {"seconds": 10.0} for stage in ("embed", "classify", "collect")},
    }
    (folder / "run.json").write_text(
        json.dumps(record if contigs else record | {"parameters": {"geometry": None, "scores": {}}})
    )


def test_rows_say_how_a_setting_differs_from_the_first(tmp_path: Path) -> None:
    write_results(tmp_path / "x" / "s", FIRST)
    write_results(tmp_path / "y" / "s", SECOND)
    first, second = compare_settings(tmp_path, ["s"], ["x", "y"], tmp_path / "sweep.tsv")
    assert (first.viral, first.host, first.none, first.agreement) == (1, 1, 1, "1.000000")
    assert (second.viral, second.host, second.none, second.agreement) == (1, 1, 1, "0.333333")
    assert (second.mean_difference, second.max_difference) == ("0.200000", "0.300000"), "of the two scored by both"
    assert (first.embed_seconds, first.classify_seconds, first.collect_seconds) == ("5.000", "5.000", "10.000")
    header, *rows = (tmp_path / "sweep.tsv").read_text().splitlines()
    assert header.startswith("setting\tsample\tmodel\tgeometry\tprecision\tcontigs\tviral\thost\tnone\tagreement\t")
    assert [row.split("\t")[:5] for row in rows] == [[name, "s", "m", "500-original", "fp32"] for name in ("x", "y")]


def test_a_sample_without_contigs_has_no_agreement(tmp_path: Path) -> None:
    for setting in ("x", "y"):
        write_results(tmp_path / setting / "s", FIRST)
        write_results(tmp_path / setting / "empty", [], fraction=None)
    rows = compare_settings(tmp_path, ["s", "empty"], ["x", "y"], tmp_path / "sweep.tsv")
    assert [(row.setting, row.sample) for row in rows] == [("x", "s"), ("x", "empty"), ("y", "s"), ("y", "empty")]
    assert {(row.agreement, row.max_difference, row.precision) for row in rows[1::2]} == {("NA", "NA", "NA")}
    draw(rows, tmp_path / "one.svg")
    draw(rows, tmp_path / "two.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    write_results(tmp_path / "x" / "s", FIRST)
    (tmp_path / "x" / "s" / "run.json").write_text("{")
    with pytest.raises(DamagedFileError, match=r"x/s/run\.json: damaged"):
        compare_settings(tmp_path, ["s"], ["x"], tmp_path / "sweep.tsv")
