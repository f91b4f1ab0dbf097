"""Snakemake's report of a finished run: the tables with their captions."""

from pathlib import Path

from tests.helpers.runs import snakemake


def test_the_report_shows_the_tables_with_captions(finished: Path, tmp_path: Path) -> None:
    ended = snakemake(finished, "--report", tmp_path / "report.html")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    for sample in ("one", "two", "three"):
        for table in ("contigs.tsv", "windows.tsv", "regions.tsv", "run.json"):
            assert f"results/{sample}/{table}" in html
    for caption in ("Every contig of sample one", "Every window of sample two", "How the tables of sample three"):
        assert caption in html
