"""`virnucpro evaluate` with results of a run: contigs, windows, frames and their false discovery rates."""

from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.collect_runs import run as collect_sample
from tests.helpers.evaluations import SMALL, Run, write
from tests.helpers.synthetic_pool import Contig, write_pool
from virnucpro_kernels.files import sha256
from virnucpro_kernels.pool.job_record import read_record, write_record


def test_our_results_are_measured_by_contig_window_and_frame(tmp_path: Path, run: Run) -> None:
    contigs = [
        Contig("v1", 600, [(0, 300, {0: 3.0, 1: 1.0}), (300, 600, {2: -1.0})]),
        Contig("v2", 300, [(0, 300, {})]),
        Contig("v3", 100, [(0, 100, {0: 5.0})]),  # too short for a call
        Contig("h1", 600, [(0, 300, {0: -2.0}), (300, 600, {})]),
        Contig("h2", 300, [(0, 300, {3: 0.5})]),
        Contig("not in the truth".replace(" ", "_"), 300, [(0, 300, {3: 9.0})]),
    ]
    collect_sample(write_pool(tmp_path / "pool", {"s": contigs}), "s", tmp_path / "out" / "results" / "s")
    labels = [("v1", "virus"), ("v2", "virus"), ("v3", "virus"), ("h1", "host"), ("h2", "host")]
    truth = write(tmp_path / "truth.tsv", ["contig", "label"], labels)
    ended = run(tmp_path / "out", "--truth", truth, "--bootstraps", 20)
    assert ended.code == 0, ended.text
    # Contigs: v1 has the mean logit 0.5 of its windows (2 and -1), h2 0.5, h1 -2; v2 and v3 have no call.
    assert ended.row("auroc").value == pytest.approx((1 + 0.5) / 6)
    assert ended.row("auroc", without_call="left_out").value == pytest.approx(0.75)
    assert ended.row("recall").value == pytest.approx(1 / 3, abs=1e-6)
    assert ended.row("false_positive_rate").value == 0.5
    # Windows: viral 2, -1, 5 and one without a score; host -2, 0.5 and one without.
    assert ended.row("auroc", level="windows").n == 7
    assert ended.row("auroc", level="windows").value == pytest.approx((3 + 2 + 3 + 0.5) / 12, abs=1e-6)
    assert ended.row("auroc", level="windows", without_call="left_out").value == pytest.approx(5 / 6, abs=1e-6)
    assert ended.row("false_positive_rate", level="windows").value == pytest.approx(1 / 3, abs=1e-6)
    assert ended.row("auroc", "length:300-499", level="windows").n == 6
    # Frames: viral 3, 1, -1, 5; host -2, 0.5. All have a score.
    assert ended.row("auroc", level="frames").value == pytest.approx(7 / 8)
    assert set(ended.table.query("level == 'frames' and measure == 'auroc'")["without_call"]) == {"host"}
    assert "s: not in the truth, so left out: 1 contig of the results" in ended.text
    assert "s: without a call: 2 of 5 contigs" in ended.text


@pytest.mark.parametrize("name", ["contigs.tsv", "windows.tsv"])
def test_results_that_lost_rows_are_refused(tmp_path: Path, small_truth: Path, run: Run, name: str) -> None:
    contigs = [Contig(name, 300, [(0, 300, {0: 10 * score - 5})]) for name, score in SMALL.items()]
    folder = tmp_path / "out" / "results" / "s"
    collect_sample(write_pool(tmp_path / "pool", {"s": contigs}), "s", folder)
    lines = (folder / name).read_text().splitlines(keepends=True)
    (folder / name).write_text("".join(lines[:-1]))
    ended = run(folder, "--truth", small_truth)
    assert ended.code == 3
    assert f"{folder / name}: damaged" in ended.text


def replace_contigs(folder: Path, table: pd.DataFrame) -> None:
    """Give a sample another table of contigs, as its run would have written it."""
    path = folder / "contigs.tsv"
    table.to_csv(path, sep="\t", index=False)
    record = read_record(folder / "run.json")
    record["files"][path.name]["sha256"] = sha256(path)
    write_record(folder / "run.json", record)


@pytest.fixture
def with_q_values(tmp_path: Path) -> tuple[Path, pd.DataFrame]:
    """Results of a sample with false discovery rates, and their table of contigs."""
    contigs = [Contig(name, 300, [(0, 300, {0: 10 * score - 5})]) for name, score in SMALL.items()]
    folder = tmp_path / "out" / "results" / "s"
    collect_sample(write_pool(tmp_path / "pool", {"s": contigs}), "s", folder)
    table = pd.read_csv(folder / "contigs.tsv", sep="\t", keep_default_na=False)
    table["q_value"] = table["contig"].map({"v1": 0.01, "h1": 0.04, "v2": 0.04}).fillna(0.9)
    replace_contigs(folder, table)
    return folder, table


def test_q_values_of_the_results_decide_where_they_are(
    with_q_values: tuple[Path, pd.DataFrame], small_truth: Path, run: Run
) -> None:
    folder, table = with_q_values
    ended = run(folder, "--truth", small_truth)
    assert ended.code == 0, ended.text
    row = ended.row("realised_fdr", "fdr:0.05", without_call="left_out")
    assert (row.value, row.n) == (pytest.approx(1 / 3, abs=1e-6), 3)
    assert ended.row("realised_fdr", "fdr:0.01", without_call="left_out").n == 1
    table["q_value"] = "NA"  # a run that was not asked for them: then p_virus decides, at most 0.982
    replace_contigs(folder, table)
    without = run(folder, "--truth", small_truth)
    assert without.row("realised_fdr", "fdr:0.01", without_call="left_out").n == 0
    assert without.row("realised_fdr", "fdr:0.05", without_call="left_out").n == 3


def test_what_is_said_of_q_values_does_not_depend_on_a_share(
    with_q_values: tuple[Path, pd.DataFrame], small_truth: Path, run: Run
) -> None:
    folder, _ = with_q_values
    rates = []
    for share in (0.1, 0.5):
        ended = run(folder, "--truth", small_truth, "--share", share, folder=f"share-{share}")
        text = " ".join(ended.text.split())
        assert "false discovery rates, by q_value, are those of the contigs with a call, which are 42.9 % viral" in text
        assert f"figures of calibration are those of samples that are {100 * share:.1f} % viral" in text
        rates.append(ended.row("realised_fdr", "fdr:0.05", without_call="left_out").value)
    assert rates[0] == rates[1]
