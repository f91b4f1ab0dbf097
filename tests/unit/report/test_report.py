"""The report as a file: what is in it, and how much of it."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.helpers.reports import PROPHAGE, SAMPLES, write_results
from virnucpro_kernels.cli.main import app
from virnucpro_kernels.errors import DamagedFileError, UsageError
from virnucpro_kernels.pool.job_record import read_record, write_record
from virnucpro_kernels.report.figures import run_figures
from virnucpro_kernels.report.methods import describe_methods
from virnucpro_kernels.report.palette import LIGHT
from virnucpro_kernels.report.report import write_report
from virnucpro_kernels.report.samples import find_samples
from virnucpro_kernels.report.shown import choose_shown


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def html(results: Path) -> str:
    ended = CliRunner().invoke(app, ["report", str(results.parent), "--figures", str(results / "figures")])
    assert ended.exit_code == 0, ended.output
    assert f"report: {results / 'report.html'}" in ended.output
    return (results / "report.html").read_text(encoding="utf-8")


def data(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found
    content: dict[str, Any] = json.loads(found[1])
    return content


def test_the_page_names_no_address_that_a_browser_would_load(html: str) -> None:
    own = html.replace(re.findall(r"<script>.*?</script>", html, re.DOTALL)[0], "")
    assert not re.findall(r"""(?:src|href|@import|url\()\s*=?\s*["']?https?:(?!//(?:doi|arxiv)\.org)""", own)


def test_every_contig_of_a_small_run_is_there_with_its_track(html: str) -> None:
    found = data(html)
    names = [column["name"] for column in found["columns"]]
    rows = [dict(zip(names, row, strict=True)) for row in found["contigs"]]
    expected = {(sample, contig.name) for sample, contigs in SAMPLES.items() for contig in contigs}
    assert {(row["sample"], row["contig"]) for row in rows} == expected
    assert {int(row) for row in found["tracks"]} == {place for place, row in enumerate(rows) if row["scored_windows"]}
    first = found["tracks"]["0"]
    assert len(first["start"]) == rows[0]["windows"] == len(first["p_virus"])


def test_figures_are_files_too(html: str, results: Path) -> None:
    assert html
    figures = {path.name: path.read_text() for path in (results / "figures").iterdir()}
    assert set(figures) == {"calls.svg", "scores.svg", "cutoffs.svg", "strips.svg"}
    assert all(content.startswith("<svg") and "var(--" not in content for content in figures.values())
    assert "share of the bases" in figures["calls.svg"]


def test_what_is_shown_stays_within_its_bounds_and_every_sample_has_its_share(results: Path) -> None:
    samples = find_samples(results)
    shown = choose_shown(samples, most_rows=9, most_windows=30)
    assert len(shown.table) == 9
    assert [shown.table["sample"].to_pylist().count(index) for index in range(4)] == [0, 3, 3, 3]
    assert 0 < sum(len(track["start"]) for track in shown.tracks.values()) <= 30
    assert sum(int(summary.contigs.sum()) for summary in shown.summaries) == 43, "all are counted"


def test_viral_regions_are_counted_and_stand_in_the_tracks(results: Path, html: str) -> None:
    found = data(html)
    names = [column["name"] for column in found["columns"]]
    rows = [dict(zip(names, row, strict=True)) for row in found["contigs"]]
    table = pd.read_csv(results / "last" / "regions.tsv", sep="\t")
    assert {row["contig"]: row["regions"] for row in rows if row["sample"] == "last"} == {
        contig.name: int((table["contig"] == contig.name).sum()) for contig in SAMPLES["last"]
    }
    (place,) = (place for place, row in enumerate(rows) if row["contig"] == PROPHAGE.name)
    assert all(row["call"] == "viral" or row["regions"] for row in rows[: place + 1]), "it is among the candidates"
    (region,) = found["tracks"][str(place)]["regions"]
    assert (region["start"], region["end"], region["position"]) == (1500, 3000, "inside")


def test_only_the_named_samples_are_reported(results: Path, tmp_path: Path) -> None:
    page = write_report(results, ["last"], tmp_path / "last.html")
    assert {row[1] for row in data(page.read_text())["contigs"]} == {"last"}
    with pytest.raises(UsageError, match="no complete results of nobody"):
        write_report(results, ["last", "nobody"])


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no results in here"):
        write_report(tmp_path)


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "results" / "s").mkdir(parents=True)
    (tmp_path / "results" / "s" / "run.json").write_text("{")
    with pytest.raises(DamagedFileError, match=r"run\.json: damaged"):
        write_report(tmp_path)


def test_samples_that_failed_are_told(results: Path, tmp_path: Path) -> None:
    header = "sample\tchunk\tstage\tattempts\texit_code\tlog\terror\n"
    row = "gut\t00001\tembed\t2\t4\tlogs/x.log\ttoo little memory\n"
    (results / "failed.tsv").write_text(header + row + row.replace("gut", "last"))
    try:
        page = write_report(results, (), tmp_path / "report.html").read_text()
    finally:
        (results / "failed.tsv").unlink()
    assert "<strong>gut</strong>: embed: too little memory" in page
    assert "<strong>last</strong>: embed" not in page, "it has results"


def test_methods_say_what_was_done_with_its_figures(results: Path) -> None:
    samples = find_samples(results)
    (method,) = describe_methods(samples)
    text = " ".join(method.paragraphs)
    assert "43 contigs" in text
    assert "model tiny-300" in text
    assert "windows of 300 bp, overlapping as in the original tool" in text
    assert "at least 150 scored bases were called viral from p_virus 0.5 on" in text
    assert "So 16 contigs (37.2 %) were called viral, 20 (46.5 %) host, and 7 (16.3 %) had no call" in text
    assert "its scores are no evidence" in text


def test_a_model_for_real_work_has_no_notice(results: Path, html: str, tmp_path: Path) -> None:
    assert "for trying out" in html
    copy = shutil.copytree(results, tmp_path / "results")
    for record in copy.glob("*/run.json"):
        content = read_record(record)
        del content["model"]["notice"]
        content["model"]["purpose"] = "work"
        write_record(record, content)
    written = write_report(copy, [], None, None)
    assert "for trying out" not in written.read_text(encoding="utf-8")


def test_figures_mark_no_threshold_where_a_false_discovery_rate_decides(
    results: Path, html: str, tmp_path: Path
) -> None:
    def marked(page: str) -> set[str]:
        figures = json.dumps([data(page)["figures"][name] for name in ("scores", "cutoffs", "strips")])
        return set(re.findall(r'"name": "(viral|medium|high)"', figures))

    def lines(page: str) -> set[float]:
        return {float(value) for value in re.findall(r'"at": ([\d.]+)', json.dumps(data(page)["trackFigures"]))}

    assert marked(html) == {"viral", "medium", "high"}
    copy = shutil.copytree(results, tmp_path / "results")
    for record in copy.glob("*/run.json"):
        content = read_record(record)
        content["parameters"]["thresholds"] |= {"fdr": 0.1, "region_threshold": 0.625}
        write_record(record, content)
    page = write_report(copy).read_text(encoding="utf-8")
    assert marked(page) == set()
    assert (lines(html), lines(page)) == ({0.5}, {0.625}), "tracks have the threshold of regions"
    samples = find_samples(copy)
    density = run_figures(choose_shown(samples, most_rows=9), LIGHT)["scores"].to_json()
    assert "0.5" not in re.findall(r"datum.to > ([\d.]+)", density)
