"""Samples whose input cannot be used, in one pool with others."""

import gzip
import os
from pathlib import Path

import pytest

from tests.helpers.runs import MODEL, checksums, contigs, snakemake, virnucpro, virnucpro_here
from virnucpro_kernels.run.pools import read_pools

PROTEIN = ">p\nMKLVEFQPIMKLVEFQPIMKLVEFQPI\n"
DUPLICATES = ">same\nACGTACGTACGT\n>same\nACGTACGTACGA\n"
GOOD = {"first": contigs(0, 4), "second": contigs(4, 7), "third": contigs(7, 10)}
REPAIRED = {"cut": contigs(10, 12), "protein": contigs(12, 13), "twice": contigs(13, 15)}
#: What messages say of them.
FAULTS = {"cut": "truncated", "protein": "is no nucleotide code (a protein sequence?)", "twice": "'same'"}
SPLIT_LOG = "logs/split/500-original/first.log"


def write(path: Path, text: str) -> None:
    path.write_bytes(gzip.compress(text.encode()))


def rows(out: Path) -> list[list[str]]:
    return [line.split("\t") for line in (out / "results" / "failed.tsv").read_text().splitlines()[1:]]


def results(out: Path) -> dict[str, str]:
    return {path: checksum for path, checksum in checksums(out).items() if not path.endswith("failed.tsv")}


def made_before_collect(out: Path) -> dict[Path, int]:
    """When each file of the pool was written."""
    return {path: path.stat().st_mtime_ns for path in (out / "work" / "500-original").rglob("*") if path.is_file()}


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    """Files of three good and three bad samples, mixed."""
    names = ("first", "cut", "second", "protein", "twice", "third")
    paths = {name: tmp_path / f"{name}.fa.gz" for name in names}
    for name, text in {**GOOD, "protein": PROTEIN, "twice": DUPLICATES}.items():
        write(paths[name], text)
    paths["cut"].write_bytes(gzip.compress(REPAIRED["cut"].encode())[:-300])
    return paths


def test_bad_samples_of_a_pool_are_named_and_the_others_are_finished(tmp_path: Path, inputs: dict[str, Path]) -> None:
    """In one start; told again, with nothing made again, until they are repaired."""
    out, options = tmp_path / "out", ("--model", MODEL, "--no-progress", "--no-report")
    good = [inputs[name] for name in GOOD]
    alone = virnucpro("predict", *good, "--output-dir", tmp_path / "alone", *options)
    assert alone.returncode == 0, alone.stdout + alone.stderr

    ended = virnucpro("predict", *inputs.values(), "--output-dir", out, *options)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert {assignment.pool for assignment in read_pools(out / "work" / "pools.tsv").values()} == {"first"}
    assert results(out) == results(tmp_path / "alone")
    pool, pool_alone = (folder / "work" / "500-original" / "first" for folder in (out, tmp_path / "alone"))
    for name in ("contigs.parquet", "windows.parquet", "chunks.tsv", "chunks/00000.fna", "chunks/00000.faa"):
        assert (pool / name).read_bytes() == (pool_alone / name).read_bytes()
    assert "all 3 samples: 10 contigs" in ended.stdout
    assert "3 samples without results" in ended.stderr
    failed = rows(out)
    assert [row[:6] for row in failed] == [[name, "", "split", "1", "5", SPLIT_LOG] for name in FAULTS]
    for (name, *_, error), fault in zip(failed, FAULTS.values(), strict=True):
        assert error.startswith(f"InputError: {inputs[name]}")
        assert fault in error
        assert f"sample {name}: split (exit code 5): {error}" in ended.stderr
        assert f"error: sample {name} is left out: {inputs[name]}" in (out / SPLIT_LOG).read_text()
    verified = virnucpro_here("verify", out)
    assert verified.returncode == 0, verified.stdout

    before = made_before_collect(out)
    again = virnucpro("predict", "--output-dir", out, "--no-progress")
    assert again.returncode == 2, again.stdout + again.stderr
    assert rows(out) == failed
    plain = snakemake(out)
    assert plain.returncode == 1
    assert rows(out) == failed
    assert made_before_collect(out) == before

    # Restored with its old date, as backups and downloads are.
    write(inputs["protein"], REPAIRED["protein"])
    os.utime(inputs["protein"], (10**9, 10**9))
    plain = snakemake(out)
    assert plain.returncode == 1
    assert "has changed since it was found unusable" in (out / "logs" / "collect" / "protein.log").read_text()
    ended = virnucpro("predict", "--output-dir", out, "--no-progress")
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert [row[0] for row in rows(out)] == ["cut", "twice"]
    assert "protein: 1 contig (" in ended.stdout

    for name in ("cut", "twice"):
        write(inputs[name], REPAIRED[name])
    ended = snakemake(out)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert not (out / "results" / "failed.tsv").exists()
    fresh = virnucpro("predict", *inputs.values(), "--output-dir", tmp_path / "fresh", *options)
    assert fresh.returncode == 0, fresh.stdout + fresh.stderr
    assert results(out) == results(tmp_path / "fresh")


def test_a_bad_line_appended_to_a_finished_run_is_its_only_failure(copy_of_finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in copy_of_finished.glob("results/*/contigs.tsv")}
    (copy_of_finished / "data" / "bad.fa").write_text(PROTEIN)
    sheet = copy_of_finished / "config" / "samples.tsv"
    complete = sheet.read_text()
    sheet.write_text(f"{complete}bad\t../data/bad.fa\tsecond\n")
    ended = snakemake(copy_of_finished)
    assert ended.returncode == 1
    assert "rule embed" not in ended.stdout + ended.stderr
    assert [row[:3] for row in rows(copy_of_finished)] == [["bad", "", "split"]]
    assert {path: path.stat().st_mtime_ns for path in copy_of_finished.glob("results/*/contigs.tsv")} == before

    sheet.write_text(complete)
    ended = snakemake(copy_of_finished)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not (copy_of_finished / "results" / "failed.tsv").exists()


def test_a_pool_of_bad_samples_fails_and_each_is_told_its_own_fault(tmp_path: Path, inputs: dict[str, Path]) -> None:
    bad, out = [inputs[name] for name in FAULTS], tmp_path / "out"
    ended = virnucpro("predict", *bad, "--output-dir", out, "--model", MODEL, "--no-progress", "--no-report")
    assert ended.returncode == 5, ended.stdout + ended.stderr
    failed = rows(out)
    assert [row[:5] for row in failed] == [[name, "", "split", "1", "5"] for name in FAULTS]
    for (name, *_, error), fault in zip(failed, FAULTS.values(), strict=True):
        assert str(inputs[name]) in error
        assert fault in error
        assert not any(str(inputs[other]) in error for other in FAULTS if other != name)


def test_a_sample_that_once_had_tables_is_told_like_one_that_never_had(tmp_path: Path) -> None:
    path, out = tmp_path / "x.fa", tmp_path / "out"
    path.write_text(contigs(0, 1))
    assert (
        virnucpro("predict", path, "--output-dir", out, "--model", MODEL, "--no-progress", "--no-report").returncode
        == 0
    )
    path.write_text("hello\n")
    for _ in range(2):
        ended = virnucpro("predict", "--output-dir", out, "--no-progress")
        assert ended.returncode == 5, ended.stdout + ended.stderr
        assert "sample x: split (exit code 5): " in ended.stderr
        assert "not a sequence file" in ended.stderr
        assert "Snakemake itself failed" not in ended.stderr
    assert "sample x is left out: " in virnucpro_here("status", out).stdout
