"""A real MultiQC on the results of several samples."""

import json
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.reports import HOSTILE, write_results
from tests.helpers.runs import call

pytest.importorskip("multiqc", reason="needs MultiQC")


@pytest.fixture(scope="module")
def multiqc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output of MultiQC on the results of four samples."""
    assert "virnucpro" in entry_points(group="multiqc.modules.v1").names, "install this package anew"
    folder = tmp_path_factory.mktemp("multiqc")
    results = write_results(folder)
    options = ("--outdir", folder / "out", "--no-ansi", "--module", "virnucpro")
    ended = call([sys.executable, "-m", "multiqc", results, *options], folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder / "out"


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
    assert HOSTILE.name not in html, "names are escaped"
