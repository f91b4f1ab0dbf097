"""Files of a finished run that are damaged: the next start of the same command makes them again, byte for byte."""

import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from tests.helpers.runs import MODEL, checksums, snakemake, virnucpro, virnucpro_here
from virnucpro_kernels.pool.job_record import read_job
from virnucpro_kernels.run.damage import Depth, check_run


def flip(path: Path) -> None:
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def not_utf8(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x80" + path.read_bytes()[3:])


#: Files of a run, and a way in which each is damaged.
DAMAGE: dict[str, Callable[[Path], None]] = {
    "work/pools.tsv": not_utf8,
    "work/*/first/chunks.tsv": not_utf8,
    "work/*/first/unusable.tsv": not_utf8,
    "work/*/second/contigs.parquet": flip,
    "work/*/second/windows.parquet": cut,
    "work/*/second/chunks.tsv": flip,
    "work/*/second/*/*/00000.parquet": flip,
    "work/*/first/*/*/gathered.sha256": not_utf8,
    "work/*/second/*/*/gathered.sha256": flip,
    "results/one/contigs.tsv": flip,
    "results/two/frames.tsv.gz": cut,
    "results/two/regions.gff3": flip,
    "results/three/contigs.parquet": flip,
    "results/one/viral_regions.fna.gz": cut,
    "results/three/viral.fna.gz": empty,
    "results/two/run.json": flip,
    "results/summary.tsv": not_utf8,
    "results/columns.json": cut,
}
RECORDS = {
    "work/*/first/split.json": not_utf8,
    "work/*/first/*/00000.embed.json": flip,
    "work/*/first/*/*/00000.classify.json": cut,
    "results/three/collect.json": empty,
}


def without_damaged(directory: Path) -> dict[str, str]:
    return {name: sum_ for name, sum_ in checksums(directory).items() if ".damaged" not in name}


@pytest.fixture
def out(copy_of_finished: Path) -> Path:
    """A copy of the finished run, with a table of pools."""
    (copy_of_finished / "work" / "pools.tsv").write_text("sample\tpool\tbases\n")
    return copy_of_finished


def test_damage_is_set_aside_and_made_again_by_the_same_start(out: Path) -> None:
    before = without_damaged(out)
    damaged = {}
    for pattern, damage in DAMAGE.items():
        (path,) = out.glob(pattern)
        damage(path)
        damaged[path] = path.read_bytes()
    ended = virnucpro("predict", "--output-dir", out, "--no-progress", "--threads", "2")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert without_damaged(out) == before
    for path, content in damaged.items():
        aside = path.with_name(f"{path.name}.damaged")
        if aside.exists():  # what depends on another damaged file is just made again
            assert aside.read_bytes() == content
            assert f"it is now {aside.name}" in ended.stderr
    assert len(list(out.rglob("*.damaged"))) >= len(damaged) - 4
    assert virnucpro_here("verify", out).returncode == 0


@pytest.mark.parametrize("pattern", [pattern for pattern in DAMAGE if "first" not in pattern])
def test_each_kind_alone_is_noticed(out: Path, pattern: str) -> None:
    """By the check that a start does; no run is needed to see what it would set aside."""
    from virnucpro_kernels.run.mend import mend_files

    (path,) = out.glob(pattern)
    DAMAGE[pattern](path)
    content, said = path.read_bytes(), list[str]()
    mend_files(out, said.append)
    assert path.with_name(f"{path.name}.damaged").read_bytes() == content
    assert [line for line in said if line.startswith(f"{path}: ")]
    said.clear()
    mend_files(out, said.append)
    assert said == [], "once is enough"


@pytest.mark.parametrize(
    ("written", "damaged"),
    [
        ("../../windows.parquet", ".>/../windows.parquet"),
        ("../../windows.parquet", "../../winDows.parquet"),
        ("../../chunks.tsv", "../../chunks.tsw"),
        ("  00000.parquet", "  00001.parquet"),
        ("  00000.parquet", "  0000p.parquet"),
        (".parquet\n", ".parquet\x1a"),
        (".parquet\n", ".parquet\x0b"),
    ],
)
def test_a_damaged_name_in_a_list_of_checksums_is_that_lists_damage(out: Path, written: str, damaged: str) -> None:
    (listing,) = out.glob("work/*/second/*/*/gathered.sha256")
    text = listing.read_text()
    listing.write_text(text.replace(written, damaged, 1))
    problems = {checked.path: checked.problem for checked in check_run(out, Depth.CHECKSUMS) if checked.problem}
    assert list(problems) == [listing]
    assert problems[listing].startswith("damaged (")


def test_vectors_under_the_name_of_others_are_noticed(out: Path) -> None:
    (protein,) = out.glob("work/*/second/*/00000.protein.h5")
    wrong = Path(shutil.copy(protein, protein.with_name("00000.nucleotide.h5")))
    problems = {checked.path: checked.problem for checked in check_run(out, Depth.ALL) if checked.problem}
    assert problems == {
        wrong: "the vectors are not those of nucleotide, but of protein",
        protein.with_name("00000.features.h5"): f"was made from other vectors than those of {wrong}",
    }


def test_vectors_in_the_folder_of_another_precision_are_noticed_before_they_are_scored(out: Path) -> None:
    before = without_damaged(out)
    (features,) = out.glob("work/*/second/*/00000.features.h5")
    with h5py.File(features, "r+") as file:
        file.attrs.modify("encoders", file.attrs["encoders"].replace(b"-fp32-", b"-fp16-"))
    for path in (*out.glob("work/*/second/*/*/00000.parquet"), *out.glob("work/*/second/*/*/gathered.sha256")):
        path.unlink()
    (out / "results" / "three" / "run.json").unlink()
    ended = snakemake(out)
    assert ended.returncode == 1
    assert re.search(r"00000.features.h5: the vectors are of .*-fp16-.*, not of .*-fp32-.*is now", ended.stderr)
    ended = snakemake(out)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert without_damaged(out) == before


def test_damaged_records_lose_times_and_nothing_else(out: Path) -> None:
    before = without_damaged(out)
    for pattern, damage in RECORDS.items():
        (path,) = out.glob(pattern)
        damage(path)
        assert read_job(path) == {}
    ended = virnucpro("predict", "--output-dir", out, "--no-progress")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len(list(out.rglob("*.damaged"))) == len(RECORDS)
    assert without_damaged(out) == before
    assert virnucpro_here("verify", out).returncode == 0


def test_results_of_an_older_version_are_no_damage(out: Path) -> None:
    for path in (*out.glob("results/*/*.json"), *out.glob("work/**/*.json")):
        record = {name: value for name, value in read_job(path).items() if name != "outputs"}
        path.write_text(json.dumps(record))
    times = {path: path.stat().st_mtime_ns for path in out.glob("results/*/*")}
    ended = virnucpro("predict", "--output-dir", out, "--no-progress")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert {path: path.stat().st_mtime_ns for path in out.glob("results/*/*")} == times


def test_garbage_among_snakemakes_records_and_moved_clocks_stop_no_start(out: Path) -> None:
    before = without_damaged(out)
    metadata = sorted((out / ".snakemake" / "metadata").rglob("*="))
    metadata[0].write_bytes(b"\xff\xfe garbage")
    metadata[1].write_text('{"input": 5}')
    (out / ".snakemake" / "incomplete" / metadata[2].name).write_bytes(b"\xff")
    tomorrow, yesterday = time.time() + 86_400, time.time() - 86_400
    for path in (
        *out.glob("work/*/first/chunks/*"),
        *out.glob("work/*/first/*.parquet"),
        *out.glob("work/**/chunks.tsv"),
    ):
        os.utime(path, (tomorrow, tomorrow))
    for path in out.glob("work/*/second/*/*/*.parquet"):
        os.utime(path, (yesterday, yesterday))
    for path in out.glob("results/*/run.json"):
        path.unlink()
    ended = virnucpro("predict", "--output-dir", out, "--no-progress")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Snakemake cannot read it" in ended.stderr
    assert without_damaged(out) == before
    assert virnucpro("predict", "--output-dir", out, "--dry-run").returncode == 0


def test_damage_that_a_job_meets_is_mended_by_the_next_snakemake(out: Path) -> None:
    """Without `predict`, the failed start itself does all that can be done, then sets aside what its job refused."""
    before = without_damaged(out)
    (windows,) = out.glob("work/*/first/windows.parquet")
    flip(windows)
    for path in out.glob("results/*/run.json"):
        path.unlink()
    ended = snakemake(out, "--cores", "1")
    assert ended.returncode == 1
    assert "it is now windows.parquet.damaged" in ended.stderr
    failed = (out / "results" / "failed.tsv").read_text().splitlines()
    assert [line.split("\t")[:3] for line in failed[1:]] == [["one", "", "collect"], ["two", "", "collect"]]
    assert (out / "results" / "three" / "run.json").exists()
    ended = snakemake(out)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert without_damaged(out) == before


@pytest.mark.parametrize("name", ["*/second/chunks.tsv", "*/second/unusable.tsv", "pools.tsv"])
def test_a_table_that_is_not_text_stops_one_snakemake_and_not_the_next(out: Path, name: str) -> None:
    before = without_damaged(out)
    (path,) = out.glob(f"work/{name}")
    not_utf8(path)
    (out / "results" / "three" / "run.json").unlink()
    ended = snakemake(out)
    assert ended.returncode == 1
    assert "Traceback (most recent call last)" not in ended.stdout + ended.stderr
    failed = "".join(table.read_text() for table in out.glob("results/failed.tsv"))
    assert str(path.relative_to(out)) in ended.stdout + ended.stderr + failed
    assert path.with_name(f"{path.name}.damaged").exists()
    ended = snakemake(out)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert without_damaged(out) == before


def test_leftovers_of_killed_jobs_are_gone_after_a_run_that_ended_well(out: Path) -> None:
    (pool,) = out.glob("work/*/first/")
    (embeddings,) = pool.glob("*/00000.embed.json")
    (pool / "chunks" / ".1.00002.fna").touch()
    (embeddings.parent / ".4194304.00008.embed.json").touch()
    (embeddings.parent / "00000.partial").mkdir()
    (embeddings.parent / "00000.partial" / "protein-000000000.h5").touch()
    assert virnucpro("predict", "--output-dir", out, "--no-progress").returncode == 0
    left = [str(path) for path in out.glob("work/**/*") if path.name.startswith(".") or path.suffix == ".partial"]
    assert sorted(Path(path).name for path in left) == [".checked.json", ".predict.lock", ".snakemake.lock"]


def test_a_damaged_configuration_is_written_anew_where_the_options_say_all(out: Path) -> None:
    config = out / "config" / "config.yaml"
    config.write_bytes(b"model: \xff")
    command = ("predict", "--output-dir", out, "--model", MODEL, "--device", "cpu", "--dry-run")
    refused = virnucpro(*command)
    assert refused.returncode == 5
    assert f"{config}: the file cannot be read as YAML" in refused.stderr
    ended = virnucpro(*command[:-1], *sorted(out.glob("data/one.fa")), "--threads", "2")
    assert ended.returncode == 0, ended.stderr
    assert f"model: {MODEL}" in config.read_text()
