"""Sweeps: several settings in one run, which share all work that does not differ, and their comparison."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.helpers.runs import MODEL, ROOT, checksums, contigs, planned, snakemake, virnucpro, virnucpro_here, write_run
from virnucpro_kernels.run.run import load_run
from virnucpro_kernels.run.summary_table import read_summary

INPUTS = {"one": contigs(0, 5), "two": contigs(5, 9)}
#: Keys of each setting.
SETTINGS: dict[str, dict[str, str]] = {
    "plain": {},
    "sure": {"viral_threshold": "0.8", "ambiguous_band": "[0.2, 0.8]"},
    "strict": {"preset": "strict"},
    "short": {"model": "builtin-300"},
}


def write_sweep(path: Path, settings: dict[str, dict[str, str]]) -> None:
    columns = list(dict.fromkeys(key for keys in settings.values() for key in keys))
    rows = [
        ["setting", *columns],
        *([name, *(keys.get(key, "") for key in columns)] for name, keys in settings.items()),
    ]
    path.write_text("".join("\t".join(row) + "\n" for row in rows))


def read_comparison(directory: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """The rows of the comparison by setting and sample."""
    rows = pd.read_csv(directory / "results" / "sweep.tsv", sep="\t").to_dict("records")
    return {(str(row["setting"]), str(row["sample"])): {str(name): row[name] for name in row} for row in rows}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Folder of a finished sweep, not to be changed, and the output of Snakemake."""
    run = tmp_path_factory.mktemp("sweep") / "run"
    write_run(run, INPUTS, "sweep: config/sweep.tsv\n")
    write_sweep(run / "config" / "sweep.tsv", SETTINGS)
    ended = snakemake(run)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return run, ended.stdout + ended.stderr


@pytest.fixture
def copy_of_swept(swept: tuple[Path, str], tmp_path: Path) -> Path:
    return Path(shutil.copytree(swept[0], tmp_path / "run", symlinks=True))


def test_shared_work_is_done_once(swept: tuple[Path, str]) -> None:
    """Of four settings, three have the same model: two geometries, one chunk each."""
    run, said = swept
    jobs = Counter(line.split()[-1].rstrip(":") for line in said.splitlines() if line.endswith(":") and "rule " in line)
    jobs["split"] = said.count("checkpoint split:")
    expected = {"split": 2, "embed": 2, "merge": 2, "classify": 2, "gather": 2, "collect": 8, "sweep": 1}
    assert {rule: jobs[rule] for rule in expected} == expected
    beside = ("columns.json", "summary.tsv", "sweep.svg", "sweep.tsv")
    assert sorted(path.name for path in (run / "results").iterdir()) == sorted([*SETTINGS, *beside])
    assert (run / "logs" / "collect" / "strict" / "one.log").exists()


def test_a_finished_sweep_is_finished_and_verified(swept: tuple[Path, str]) -> None:
    assert planned(swept[0]) == {}
    assert virnucpro_here("verify", swept[0]).returncode == 0
    status = virnucpro_here("status", swept[0]).stdout
    assert f"complete, model {MODEL}, builtin-300, cpu, fp32" in status
    assert "samples   8 of 8 complete" in status
    assert "chunks    2 of 2 scored" in status


def test_damage_in_a_setting_is_found(copy_of_swept: Path) -> None:
    table = copy_of_swept / "results" / "strict" / "one" / "windows.tsv"
    table.write_bytes(table.read_bytes()[:-3])
    ended = virnucpro_here("verify", copy_of_swept)
    assert ended.returncode == 3
    assert str(table) in ended.stdout


@pytest.mark.parametrize("setting", ["sure", "short"])
def test_a_setting_gives_the_bytes_of_a_run_by_itself(swept: tuple[Path, str], setting: str, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    write_run(alone, INPUTS)
    keys = {"samples": "config/samples.tsv", "model": MODEL, "report": "false"} | SETTINGS[setting]
    (alone / "config" / "config.yaml").write_text("".join(f"{key}: {value}\n" for key, value in keys.items()))
    ended = snakemake(alone)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    in_sweep = {
        path.replace(f"/{setting}/", "/"): made
        for path, made in checksums(swept[0]).items()
        if path.startswith(f"results/{setting}/")
    }
    assert in_sweep
    assert in_sweep == checksums(alone, without=("run.json", "collect.json", "summary.tsv", "columns.json"))


def test_the_comparison_says_what_the_tables_say(swept: tuple[Path, str]) -> None:
    run = swept[0]
    compared = read_comparison(run)
    assert list(compared) == [(setting, sample) for setting in SETTINGS for sample in INPUTS]
    for (setting, sample), row in compared.items():
        tables = [
            pd.read_csv(
                run / "results" / name / sample / "contigs.tsv", sep="\t", index_col="contig", keep_default_na=False
            )
            for name in ("plain", setting)
        ]
        first, own = (table.assign(p=pd.to_numeric(table["p_virus"], errors="coerce")) for table in tables)
        calls = own["call"].value_counts()
        assert [row[call] for call in ("viral", "host", "none")] == [calls.get(c, 0) for c in ("viral", "host", "none")]
        assert row["agreement"] == pytest.approx((first["call"] == own["call"]).mean(), abs=1e-6)
        apart = (first["p"] - own["p"]).abs()
        assert row["max_difference"] == pytest.approx(apart.max(), abs=1e-6)
        assert row["mean_difference"] == pytest.approx(apart.mean(), abs=1e-6)
    assert any(compared["strict", sample]["agreement"] < 1 for sample in INPUTS)
    assert all(compared["short", sample]["max_difference"] > 0 for sample in INPUTS)
    assert all(compared["short", sample]["geometry"] == "300-original" for sample in INPUTS)
    summary = read_summary(run / "results" / "summary.tsv")
    assert [(row.setting, row.sample) for row in summary] == list(compared)
    assert [row.viral for row in summary] == [row["viral"] for row in compared.values()]
    figure = (run / "results" / "sweep.svg").read_text()
    assert all(f">{setting}<" in figure for setting in SETTINGS)


def test_changes_of_the_table_rerun_what_they_touch(copy_of_swept: Path) -> None:
    table = copy_of_swept / "config" / "sweep.tsv"
    before = checksums(copy_of_swept)
    write_sweep(table, SETTINGS | {"sure": {"viral_threshold": "0.99"}})
    assert planned(copy_of_swept) == {"collect": 2, "sweep": 1}
    ended = snakemake(copy_of_swept)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    after = checksums(copy_of_swept)
    changed = {path.split("/")[1] for path in before if before[path] != after[path]}
    assert changed == {"sure", "sweep.tsv", "sweep.svg", "summary.tsv"}

    write_sweep(table, {name: SETTINGS[name] for name in ("short", "plain")})
    assert planned(copy_of_swept) == {"sweep": 1}, "another order, and fewer settings"
    write_sweep(table, SETTINGS | {"sure": {"viral_threshold": "0.99"}, "new": {"preset": "sensitive"}})
    assert planned(copy_of_swept) == {"collect": 2, "sweep": 1}
    write_sweep(table, SETTINGS | {"sure": {"viral_threshold": "0.99"}, "bf": {"precision": "bf16"}})
    assert planned(copy_of_swept)["gather"] == 1, "another precision has scores of its own"


def test_a_run_without_the_sweep_uses_its_scores(copy_of_swept: Path) -> None:
    ended = virnucpro("predict", "--output-dir", copy_of_swept, "--dry-run")
    assert "jobs     none" in ended.stderr, ended.stdout + ended.stderr
    ended = virnucpro("predict", "--output-dir", copy_of_swept, "--set", "sweep=null", "--dry-run")
    assert "jobs     collect 2\n" in ended.stderr, ended.stdout + ended.stderr


def test_the_report_shows_the_comparison(swept: tuple[Path, str], tmp_path: Path) -> None:
    ended = snakemake(swept[0], "--report", tmp_path / "report.html")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "The settings of the sweep side by side" in html
    assert "results/strict/one/contigs.tsv" in html


def test_predict_says_what_a_sweep_did_and_what_failed(tmp_path: Path) -> None:
    """And: a start without the option goes on with the sweep."""
    sheet, sweep, out = tmp_path / "sheet.tsv", tmp_path / "sweep.tsv", tmp_path / "out"
    (tmp_path / "good.fa").write_text(contigs(0, 2))
    (tmp_path / "bad.fa").write_text(">same\nACGT\n>same\nACGT\n")
    sheet.write_text("sample\tinput\tpool\ngood\tgood.fa\tp1\nbad\tbad.fa\tp2\n")
    write_sweep(sweep, {"plain": {}, "strict": {"preset": "strict"}})
    options = ("--samples", sheet, "--sweep", sweep, "--output-dir", out, "--model", MODEL)
    planned = virnucpro("predict", *options, "--dry-run")
    assert "jobs     split 2, gather 2, collect 4, report 1, sweep 1" in planned.stderr, planned.stdout + planned.stderr
    assert not out.exists()
    ended = virnucpro("predict", *options, "--no-progress")
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert "sweep of 2 settings" in ended.stderr
    assert f"setting  strict: {MODEL}, 500-original, fp32" in ended.stderr
    assert "plain/good: 2 contigs" in ended.stdout
    assert "strict/good: 2 contigs" in ended.stdout
    assert "settings compared" not in ended.stdout
    assert "2 samples without results" in ended.stderr
    _, *rows = [line.split("\t")[:3] for line in (out / "results" / "failed.tsv").read_text().splitlines()]
    assert rows == [["plain/bad", "", "split"], ["strict/bad", "", "split"]]

    (tmp_path / "bad.fa").write_text(contigs(2, 3))
    ended = virnucpro("predict", "--output-dir", out, "--no-progress")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "to do    2 of 4 samples" in ended.stderr
    assert "4/4 samples" in ended.stderr
    assert f"settings compared: {out}/results/sweep.tsv and {out}/results/sweep.svg" in ended.stdout
    assert not (out / "results" / "failed.tsv").exists()


def test_wrong_tables_are_refused_before_anything_runs(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_run(run, INPUTS, "sweep: config/sweep.tsv\n")
    write_sweep(run / "config" / "sweep.tsv", {"plain": {}, "wrong": {"model": "virnucpro-700"}})
    ended = snakemake(run, "--dry-run")
    assert ended.returncode == 1
    assert "config/sweep.tsv, line 3, setting wrong: no model 'virnucpro-700'" in ended.stdout + ended.stderr
    out = tmp_path / "out"
    options = ("--model", MODEL, "--sweep", run / "config" / "sweep.tsv", "--output-dir", out)
    ended = virnucpro("predict", run / "data" / "one.fa", *options)
    assert ended.returncode == 5
    assert "sweep.tsv, line 3, setting wrong: no model 'virnucpro-700'" in ended.stderr
    write_sweep(run / "config" / "sweep.tsv", {"plain": {}, "wrong": {"precision": "fp8"}})
    ended = virnucpro("predict", run / "data" / "one.fa", *options, "--device", "cpu")
    assert ended.returncode == 5
    assert "setting wrong: precision fp8 needs an NVIDIA GPU" in ended.stderr
    assert not out.exists()


def test_the_example_is_a_sweep_of_the_demonstration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = {"model": MODEL, "device": "cpu", "sweep": "config/sweep.tsv"}
    run = load_run(config, sheet_folders=[Path()], pools=Path("none.tsv"), on_cluster=False)
    assert len(run.sweep) > len(run.embeddings) > 1
