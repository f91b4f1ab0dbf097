"""A real MultiQC on the results of several samples."""

import json
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.reports import HOSTILE, write_results
from tests.helpers.runs import call
from virnucpro_kernels.report.report import write_report

pytest.importorskip("multiqc", reason="needs MultiQC")


@pytest.fixture(scope="module")
def multiqc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output of MultiQC on the results of four samples."""
    assert "virnucpro" in entry_points(group="multiqc.modules.v1").names, "install this package anew"
    folder = tmp_path_factory.mktemp("multiqc")
    results = write_results(folder)
    write_report(results, multiqc=results)
    run_multiqc(results, folder / "out")
    return folder / "out"


def run_multiqc(folder: Path, output: Path, *options: str) -> None:
    command: list[str | Path] = [sys.executable, "-m", "multiqc", folder, "--outdir", output, "--no-ansi", *options]
    ended = call(command, folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def data(multiqc: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((multiqc / "multiqc_data" / "multiqc_data.json").read_text())
    return content


def test_multiqc_has_the_general_statistics_of_each_sample(multiqc: Path) -> None:
    saved = data(multiqc)["report_saved_raw_data"]["multiqc_virnucpro"]
    assert set(saved) == {"first", "odd", "empty", "last"}
    assert saved["first"]["contigs"] == 24
    assert saved["first"]["viral"] == 11
    assert saved["empty"]["viral_share"] == 0
    assert saved["last"]["regions"] == 3


def test_multiqc_draws_calls_scores_and_contigs(multiqc: Path) -> None:
    plots = data(multiqc)["report_plot_data"]
    assert {"virnucpro_calls", "virnucpro_scores", "virnucpro_contigs"} <= set(plots)
    html = (multiqc / "multiqc_report.html").read_text(encoding="utf-8")
    assert "Contigs by call and tier" in html
    assert "virnucpro_calls_plot" not in plots, "the tables for others would show the same twice"
    assert HOSTILE.name not in html, "names are escaped"


def test_a_multiqc_without_the_module_shows_the_tables(multiqc: Path, tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    for table in (multiqc.parent / "results").glob("*_mqc.tsv"):
        (tmp_path / "tables" / table.name).write_bytes(table.read_bytes())
    options = ("--module", "custom_content", "--cl-config", "sp: {custom_content: {exclude_fn: []}}")
    run_multiqc(tmp_path / "tables", tmp_path / "out", *options)
    plots = data(tmp_path / "out")["report_plot_data"]
    assert {"virnucpro_calls_plot", "virnucpro_scores_plot"} <= set(plots)
