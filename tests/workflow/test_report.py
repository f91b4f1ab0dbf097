"""The report at the end of a run, and Snakemake's own."""

from pathlib import Path

from tests.helpers.runs import MODEL, contigs, planned, snakemake, virnucpro


def test_a_run_ends_with_its_report_and_snakemake_shows_it_with_captions(copy_of_finished: Path) -> None:
    config = copy_of_finished / "config" / "config.yaml"
    config.write_text(config.read_text().replace("report: false\n", ""))
    assert planned(copy_of_finished) == {"report": 1}, "it is there by default"
    ended = snakemake(copy_of_finished)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    page = (copy_of_finished / "results" / "report.html").read_text(encoding="utf-8")
    assert all(f'<th scope="row">{sample}</th>' in page for sample in ("one", "two", "three"))
    assert planned(copy_of_finished) == {}

    ended = snakemake(copy_of_finished, "--report", copy_of_finished / "snakemake.html")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    html = (copy_of_finished / "snakemake.html").read_text(encoding="utf-8")
    for sample in ("one", "two", "three"):
        for table in ("contigs.tsv", "windows.tsv", "regions.tsv", "run.json"):
            assert f"results/{sample}/{table}" in html
    for caption in ("Every contig of sample one", "Every window of sample two", "How the tables of sample three"):
        assert caption in html
    for figure in ("calls", "scores", "cutoffs", "strips"):
        assert f"results/figures/{figure}.svg" in html
    for words in ("What became of the contigs of each sample", "All samples in one page", "two language models embed"):
        assert words in html


def test_an_older_report_goes_where_a_sample_fails(copy_of_finished: Path) -> None:
    config, sheet = (copy_of_finished / "config" / name for name in ("config.yaml", "samples.tsv"))
    config.write_text(config.read_text().replace("report: false\n", ""))
    older = [copy_of_finished / "results" / name for name in ("report.html", "figures/calls.svg")]
    for path in older:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (copy_of_finished / "data" / "bad.fa").write_text(">protein\nMKLVWQEEE\n")
    sheet.write_text(f"{sheet.read_text()}bad\t../data/bad.fa\tsecond\n")
    ended = virnucpro("predict", "--output-dir", copy_of_finished, "--no-progress")
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert not [path for path in older if path.exists()]
    command = ended.stdout.partition("of those that are complete: virnucpro ")[2].splitlines()[0]
    assert command == f"report {copy_of_finished / 'results'}"
    assert virnucpro(*command.split()).returncode == 0
    assert "<strong>bad</strong>" in older[0].read_text(encoding="utf-8")


def test_a_run_without_a_report(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(contigs(0, 2))
    out = tmp_path / "out"
    ended = virnucpro("predict", tmp_path / "a.fa", "--output-dir", out, "--model", MODEL, "--no-report", "--dry-run")
    assert ended.returncode == 0, ended.stderr
    assert "split" in ended.stderr
    assert "report" not in ended.stderr.partition("jobs")[2]
