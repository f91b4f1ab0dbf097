"""`virnucpro plot`: tracks as pictures."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.helpers.collect_runs import run
from tests.helpers.reports import HOSTILE, PROPHAGE, write_results
from tests.helpers.synthetic_pool import Contig, write_pool
from virnucpro_kernels.cli.main import app
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.report.palette import LIGHT
from virnucpro_kernels.report.plot import plot_tracks


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results(tmp_path_factory.mktemp("results"))


def test_a_picture_shows_regions_windows_and_frames(results: Path, tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["plot", str(results.parent), PROPHAGE.name, "-o", str(tmp_path)])
    assert ended.exit_code == 0, ended.output
    assert ended.output.strip() == str(tmp_path / "last.prophage.svg")
    svg = (tmp_path / "last.prophage.svg").read_text()
    texts = set(re.findall("<text[^>]*>([^<]*)</text>", svg))
    assert {"prophage", "sample last · 4,800 bp · host · p_virus 0.0953", "scored", "viral", "F1 +", "R3 -"} <= texts
    assert len(re.findall(f'aria-label="[^"]*start: 1500; end: 3000[^"]*"[^>]*fill="{LIGHT["viral"]}"', svg)) == 1
    scored = sum(1 for *_, frames in PROPHAGE.windows if frames)
    assert len(re.findall("<line [^>]*aria-label=", svg)) == scored


def test_a_name_of_several_samples_is_drawn_for_each_and_odd_names_make_files(results: Path, tmp_path: Path) -> None:
    paths = plot_tracks(results, ["c1", HOSTILE.name], output_dir=tmp_path, suffix="png")
    assert [path.name for path in paths] == ["first.c1.png", "first.-img-src-x-onerror-hacked-1-.png", "last.c1.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    (only,) = plot_tracks(results, ["c1"], samples=["last"], output_dir=tmp_path / "new")
    assert only == tmp_path / "new" / "last.c1.svg"


def test_every_picture_has_a_name_of_its_own_that_a_file_can_have(tmp_path: Path) -> None:
    windows = [(0, 300, {0: 3.0})]
    names = ["a/b", "a|b", "a-b-2", "ü" * 300, "ü" * 299]
    pool = write_pool(tmp_path / "pool", {"one": [Contig(name, 300, windows) for name in names]})
    run(pool, "one", tmp_path / "results" / "one")
    paths = plot_tracks(tmp_path, names, output_dir=tmp_path / "pictures")
    assert sorted(tmp_path.glob("pictures/*")) == sorted(paths)
    assert len(paths) == len(names)
    assert [path.name for path in paths[:3]] == ["one.a-b.svg", "one.a-b-2.svg", "one.a-b-2-2.svg"]


def test_a_name_is_drawn_for_the_samples_that_have_a_score_for_it(tmp_path: Path) -> None:
    of_samples = {"empty": [Contig("c", 0)], "scored": [Contig("c", 300, [(0, 300, {0: 3.0})])]}
    pool = write_pool(tmp_path / "pool", of_samples)
    for sample in of_samples:
        run(pool, sample, tmp_path / "results" / sample)
    assert [path.name for path in plot_tracks(tmp_path, ["c"], output_dir=tmp_path)] == ["scored.c.svg"]


def test_what_cannot_be_drawn_is_told(results: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no contig nobody; contigs\.tsv has the names"):
        plot_tracks(results, ["c1", "nobody"], output_dir=tmp_path)
    with pytest.raises(UsageError, match=r"masked of sample odd has no score \(no_codon\), so no track"):
        plot_tracks(results, ["masked"], output_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []
