"""`virnucpro predict`, `init` and `verify`, as people use them."""

import gzip
import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.helpers.runs import MODEL, call, checksums, contigs, snakemake, virnucpro, virnucpro_command, virnucpro_here
from virnucpro_kernels.pool.file_names import ORIGINAL_FILES, RESULT_TABLES
from virnucpro_kernels.run.summary_table import read_summary

BROKEN = ">same\nACGTACGTACGT\n>same\nACGTACGTACGA\n"


def test_a_broken_sample_does_not_stop_the_others(tmp_path: Path) -> None:
    """Exit code 2, one complete sample, and a table that says what failed; mended, all is well."""
    sheet = tmp_path / "sheet.tsv"
    (tmp_path / "good.fa").write_text(contigs(0, 2))
    (tmp_path / "bad.fa").write_text(BROKEN)
    sheet.write_text("sample\tinput\tpool\ngood\tgood.fa\tp1\nbad\tbad.fa\tp2\n")
    out = tmp_path / "out"
    ended = virnucpro("predict", "--samples", sheet, "--output-dir", out, "--model", MODEL)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert "good: 2 contigs" in ended.stdout
    assert "1 sample without results" in ended.stderr
    header, *rows = [line.split("\t") for line in (out / "results" / "failed.tsv").read_text().splitlines()]
    assert header[:6] == ["sample", "chunk", "stage", "attempts", "exit_code", "log"]
    ((*row, error),) = rows
    assert row == ["bad", "", "split", "1", "5", "logs/split/500-original/p2.log"]
    assert f"in the configuration; {tmp_path / 'bad.fa'}, record 2 (line 3): 'same' is the ID of record 1" in error
    assert "record 2 (line 3): 'same' is the ID of record 1" in (out / row[5]).read_text()
    assert not (out / "results" / "bad" / "contigs.tsv").exists()
    assert all((out / "results" / "good" / name).exists() for name in (*RESULT_TABLES, *ORIGINAL_FILES))
    assert [row.sample for row in read_summary(out / "results" / "summary.tsv")] == ["good"]

    ended = virnucpro("predict", "--output-dir", out, "--set", "duplicate_ids=suffix")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert not (out / "results" / "failed.tsv").exists()
    assert [row.sample for row in read_summary(out / "results" / "summary.tsv")] == ["good", "bad"]


def test_a_failed_stage_gives_its_exit_code(tmp_path: Path) -> None:
    (tmp_path / "bad.fa").write_text(BROKEN)
    ended = virnucpro("predict", tmp_path / "bad.fa", "--output-dir", tmp_path / "out", "--model", MODEL, "--quiet")
    assert ended.returncode == 5
    assert "sample bad: split (exit code 5)" in ended.stderr
    assert ended.stdout == ""


def test_what_it_says_at_the_start_and_at_the_end(tmp_path: Path) -> None:
    """And: standard input, compressed; a second start has nothing to do; --force has; an empty file is no failure."""
    out = tmp_path / "out"
    (tmp_path / "empty.fa").touch()
    options = ("--output-dir", out, "--model", MODEL, "--threads", "2")
    command = virnucpro_command("predict", "-", tmp_path / "empty.fa", *options)
    ended = subprocess.run(command, input=gzip.compress(contigs(0, 3).encode()), capture_output=True, check=False)
    text, said = ended.stdout.decode(), ended.stderr.decode()
    assert ended.returncode == 0, text + said
    assert "model builtin-500, cpu, fp32" in said
    assert "of builtin-500 rank contigs, but are no probabilities" in " ".join(said.split())
    assert f"into {out}/results/SAMPLE" in " ".join(said.split())
    assert "to do    2 of 2 samples" in said
    assert "stdin: 3 contigs (" in text
    assert "empty: 0 contigs (none), 0 called viral" in text
    assert "all 2 samples: 3 contigs" in text
    for stage in ("split", "embed", "merge", "classify", "collect"):
        assert f"{stage} " in text.partition("\ntime: ")[2]
    assert "note: This model is for trying out" in text
    assert "done; 1/1 chunks, 2/2 samples" in (out / "logs" / "snakemake.log").read_text()
    assert (out / "results" / "empty" / "contigs.tsv").read_text().count("\n") == 1

    before = checksums(out)
    mtimes = {path: path.stat().st_mtime_ns for path in out.glob("results/*/contigs.tsv")}
    again = virnucpro("predict", "--output-dir", out)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "to do    0 of 2 samples" in again.stderr
    assert "\ntime of the whole run, earlier starts included: split " in again.stdout
    assert mtimes == {path: path.stat().st_mtime_ns for path in mtimes}

    forced = virnucpro("predict", "--output-dir", out, "--force", "--verbose")
    assert forced.returncode == 0, forced.stdout + forced.stderr
    assert "rule embed" in forced.stderr
    assert "\ntime: split " in forced.stdout
    assert all(path.stat().st_mtime_ns > mtime for path, mtime in mtimes.items())
    assert checksums(out) == before


def test_a_dry_run_says_what_would_be_done_and_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(contigs(0, 1))
    ended = virnucpro("predict", tmp_path / "a.fa", "--output-dir", tmp_path / "out", "--model", MODEL, "--dry-run")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    said = " ".join(ended.stderr.split())
    assert len(re.findall(r"to do 1 of 1 sample, \d kbp in all", said)) == 1
    assert re.search(r"about \d kbp: \d+ windows, \d+ frames, [\d,]+ protein tokens, in about 1 embedding job", said)
    assert re.search(r"embedding takes about \d+ s on \d+ CPU core", said)
    assert "GB of disk space at most at a time" in said
    assert "jobs split 1, gather 1, collect 1, report 1; those of the chunks are known after the split" in said
    assert max(map(len, ended.stderr.splitlines())) <= 80
    assert not (tmp_path / "out").exists()
    quiet = virnucpro(
        *("predict", tmp_path / "a.fa", "--output-dir", tmp_path / "out", "--model", MODEL, "--dry-run", "-q")
    )
    assert quiet.stdout.startswith("jobs: split 1, gather 1, collect 1, report 1")
    assert quiet.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no input: name sequence files"),
        (["none.fa"], "none.fa does not exist"),
        (["a.fa", "--samples", "sheet.tsv"], "not both"),
        (["a.fa", "--set", "modle=x"], "unknown key 'modle'; did you mean 'model'"),
        (["a.fa", "--set", "modle"], "must be KEY=VALUE"),
        (["a.fa", "--model", "virnucpro-700"], "no model 'virnucpro-700'"),
        (["a.fa", "--precision", "fp23"], "precision: 'fp23' is not allowed; choose auto, fp32"),
        (["a.fa", "--model", MODEL, "--profile", "sulrm"], "no profile 'sulrm'"),
        (["a.fa", "--model", MODEL, "--device", "cuda", "--gpus", "100"], "--gpus 100: "),
        (["a.fa", "--model", MODEL, "--device", "cuda", "--gpus", "all"], "must be auto, a number"),
        (["a.fa", "--model", MODEL, "--device", "cpu", "--gpus", "2"], "--gpus 2: this run computes on the CPU"),
        (["a.fa", "--model", MODEL, "--device", "cpu", "--precision", "fp8"], "precision fp8 needs an NVIDIA GPU"),
        (
            ["a.fa", "--model", MODEL, "--precision", "original"],
            "none for pool a in out; take them over with `virnucpro import`",
        ),
        (["a.fa", "--set", "tier_high=0.3"], "tier_medium (0.7) is above tier_high (0.3); swap them"),
        (["a.fa", "--set", "ambiguous_band=[0.8, 0.2]"], "ambiguous_band: 0.8 is above 0.2; swap them"),
        (
            ["--samples", "semicolons.csv"],
            "semicolons.csv, line 1: 'sample;input' is one column; separate sample and input with tabs or commas",
        ),
        (["a.fa", "--model", MODEL, "--profile", "elsewhere"], "pip install snakemake-executor-plugin-nowhere"),
        (["a.fa", "--config", "none.yaml"], "none.yaml: there is no such configuration file"),
        (["a.fa", "--quiet", "--verbose"], "choose one"),
        (
            ["a.fa", "--model", MODEL, "--", "--directory=x"],
            "--directory=x cannot be passed on to Snakemake: use --output",
        ),
        (["a.fa", "500", "500_model.pth"], "window length is part of the model"),
    ],
)
def test_wrong_usage_exits_5_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    (tmp_path / "a.fa").write_text(contigs(0, 1))
    (tmp_path / "semicolons.csv").write_text("sample;input\na;a.fa\n")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "config.yaml").write_text("executor: nowhere\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    ended = virnucpro_here("predict", "--output-dir", "out", *arguments)
    assert ended.returncode == 5, ended.stdout + ended.stderr
    assert ended.stderr.startswith("error: ")
    assert message in ended.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "refused",
    [
        ["--samples", "other.tsv"],  # no model is imported
        ["--samples", "other.tsv", "--model", "virnucpro-700"],
        ["--device", "cuda", "--gpus", "100"],
        ["--samples", "other.tsv", "--model", MODEL, "--dry-run"],
    ],
)
def test_what_does_not_start_leaves_the_configuration_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: list[str]
) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.fa").write_text(contigs(0, 1))
    (tmp_path / "other.tsv").write_text("sample\tinput\nb\tb.fa\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert virnucpro_here("init", "out", "a.fa", "--model", MODEL).returncode == 0
    files = [tmp_path / "out" / "config" / name for name in ("config.yaml", "samples.tsv")]
    before = [path.read_bytes() for path in files]
    ended = virnucpro_here("predict", "--output-dir", "out", *refused)
    assert ended.returncode == (0 if "--dry-run" in refused else 5), ended.stdout + ended.stderr
    assert [path.read_bytes() for path in files] == before


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(contigs(0, 1))
    ended = virnucpro("predict", tmp_path / "a.fa", "--output-dir", tmp_path / "a.fa", "--model", MODEL)
    assert ended.returncode == 5
    assert "cannot be created or locked" in ended.stderr


def test_tables_of_an_earlier_run_are_no_success_of_this_one(tmp_path: Path) -> None:
    """And: what is odd about an input is said at the end; a dry run leaves nothing to go on with."""
    out, path = tmp_path / "out", tmp_path / "a.fa"
    path.write_text(contigs(0, 2).replace("T", "U"))
    ended = virnucpro("predict", path, "--output-dir", out, "--model", MODEL, "--no-progress")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "is RNA" in ended.stdout.partition("warning: ")[2]
    config = (out / "config" / "config.yaml").read_bytes()
    assert virnucpro("predict", "--output-dir", out, "--dry-run", "--set", "viral_threshold=0.95").returncode == 0
    assert (out / "config" / "config.yaml").read_bytes() == config

    path.write_text(BROKEN)
    ended = virnucpro("predict", "--output-dir", out, "--no-progress")
    assert ended.returncode == 5
    assert "sample a: split (exit code 5)" in ended.stderr
    assert not (out / "results" / "a" / "contigs.tsv").exists(), "they are not those of this file"
    assert ended.stdout == ""
    assert len((out / "results" / "failed.tsv").read_text().splitlines()) == 2

    path.write_text(contigs(2, 3))
    ended = virnucpro("predict", "--output-dir", out, "--no-progress")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "a: 1 contig " in ended.stdout
    assert not (out / "results" / "failed.tsv").exists()


def test_without_a_model_the_error_names_both_ways_on(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(contigs(0, 1))
    command = virnucpro_command("predict", "a.fa", "--output-dir", "out")
    ended = call(command, tmp_path, XDG_DATA_HOME=str(tmp_path))
    assert ended.returncode == 5
    assert "weights fetch" in ended.stderr
    assert "--model compact-500" in ended.stderr


def test_init_writes_what_snakemake_and_predict_start_from(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(contigs(0, 1))
    ended = call(virnucpro_command("init", "run", "a.fa", "--model", MODEL), tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "run" / "config" / "samples.tsv").read_text() == f"sample\tinput\na\t{tmp_path}/a.fa\n"
    planned = snakemake(tmp_path, "--dry-run", "--directory", "run")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert "results/a/contigs.tsv" in planned.stdout + planned.stderr
    again = virnucpro("init", tmp_path / "run", tmp_path / "a.fa")
    assert again.returncode == 5
    assert "is there already" in again.stderr


def test_a_whole_run_is_verified(finished: Path) -> None:
    ended = virnucpro_here("verify", finished)
    assert ended.returncode == 0, ended.stdout
    assert " 0 damaged" in ended.stdout
    assert virnucpro_here("verify", finished, "--quick").returncode == 0
    assert virnucpro_here("verify", finished / "config").returncode == 5


DAMAGED = [
    "work/500-original/first/chunks.tsv",
    "work/500-original/first/contigs.parquet",
    "work/500-original/first/windows.parquet",
    "work/500-original/first/unusable.tsv",
    "work/500-original/first/chunks/00000.fna",
    "work/500-original/first/chunks/00001.faa",
    "work/500-original/first/*/00000.features.h5",
    "work/500-original/first/*/*/00001.parquet",
    "results/one/windows.tsv",
    "results/one/frames.tsv.gz",
    "results/two/run.json",
]


@pytest.mark.parametrize("how", ["changed", "cut", "missing"])
def test_damage_is_found(copy_of_finished: Path, how: str) -> None:
    """One byte changed in the middle, the end cut off, or the file gone: each file is listed."""
    for pattern in DAMAGED:
        if how == "missing" and pattern.endswith(("chunks.tsv", "run.json", ".h5")):
            continue  # no damage: its stage has not run
        if how == "changed" and pattern.endswith("run.json"):
            continue  # the one file of whose content there is no checksum
        (path,) = copy_of_finished.glob(pattern)
        original = path.read_bytes()
        middle = len(original) // 2
        if how == "changed":
            path.write_bytes(original[:middle] + bytes([original[middle] ^ 0x55]) + original[middle + 1 :])
        elif how == "cut":
            path.write_bytes(original[: len(original) - 5])
        else:
            path.unlink()
        ended = virnucpro_here("verify", copy_of_finished)
        assert ended.returncode == 3, f"{how} {pattern}: {ended.stdout}"
        # The byte of the manifest is one of a checksum: it is the file that differs from it.
        named = path.with_name("chunks") if path.name == "chunks.tsv" and how == "changed" else path
        assert str(named) in ended.stdout
        path.write_bytes(original)


def test_damage_removed_is_mended_by_the_next_start(copy_of_finished: Path) -> None:
    before = checksums(copy_of_finished)
    for pattern in (
        "work/500-original/first/chunks/00001.faa",
        "results/one/windows.tsv",
        "work/*/second/*/*/00000.parquet",
    ):
        (path,) = copy_of_finished.glob(pattern)
        path.write_bytes(path.read_bytes()[:-9])
    ended = virnucpro_here("verify", copy_of_finished, "--remove")
    assert ended.returncode == 3
    removed = ["chunks.tsv", "run.json", "run.json", "run.json", "gathered.sha256", "00000.parquet", "windows.tsv"]
    assert sorted(
        Path(line.removeprefix("removed ")).name for line in ended.stdout.splitlines() if line.startswith("removed ")
    ) == (sorted(removed))
    assert virnucpro_here("verify", copy_of_finished).returncode == 0, "what is removed is no damage any more"
    ended = snakemake(copy_of_finished)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert checksums(copy_of_finished) == before
    assert json.loads((copy_of_finished / "results" / "one" / "run.json").read_text())["sample"] == "one"
    assert virnucpro_here("verify", copy_of_finished).returncode == 0


def test_missing_scores_are_made_again(copy_of_finished: Path) -> None:
    """Whoever removes some by hand is told by the first start, and the second one mends it."""
    before = checksums(copy_of_finished)
    (scores,) = copy_of_finished.glob("work/*/second/*/*/00000.parquet")
    scores.unlink()
    (copy_of_finished / "results" / "three" / "run.json").unlink()
    assert snakemake(copy_of_finished).returncode == 1
    failed = (copy_of_finished / "results" / "failed.tsv").read_text().splitlines()
    assert [line.split("\t")[:5] for line in failed[1:]] == [["three", "", "collect", "2", "3"]]
    ended = snakemake(copy_of_finished)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert checksums(copy_of_finished) == before


def test_what_follows_two_hyphens_is_passed_on_to_snakemake(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(contigs(0, 1))
    options = (tmp_path / "a.fa", "--output-dir", tmp_path / "out", "--model", MODEL, "--dry-run")
    ended = virnucpro("predict", *options, "--", "--until", "split")
    assert ended.returncode == 0, ended.stderr
    assert "jobs     split 1;" in ended.stderr
    ended = virnucpro("predict", *options, "--", "--no-such-option")
    assert ended.returncode == 1
    assert "unrecognized arguments: --no-such-option" in ended.stderr


def test_paired_reads_in_a_sheet_become_one_sample(tmp_path: Path) -> None:
    sequences = [record.partition("\n")[2].replace("\n", "")[:150] for record in contigs(0, 6).split(">")[1:]]
    for mate, part in (("1", sequences[:3]), ("2", sequences[3:])):
        text = "".join(f"@read{number} {mate}:N:0\n{bases}\n+\n{'I' * 150}\n" for number, bases in enumerate(part))
        (tmp_path / f"reads_{mate}.fq.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "sheet.csv").write_text("sample,fastq_1,fastq_2\nreads,reads_1.fq.gz,reads_2.fq.gz\n")
    # Reads are shorter than half a window of this model, which by default is too little for a call.
    settings = ("--set", "viral_threshold=0", "--set", "min_window_fraction=0")
    options = ("--output-dir", tmp_path / "out", "--model", MODEL, *settings)
    ended = virnucpro("predict", "--samples", tmp_path / "sheet.csv", *options)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    results = tmp_path / "out" / "results" / "reads"
    rows = [line.split("\t") for line in (results / "contigs.tsv").read_text().splitlines()]
    ids = [row[rows[0].index("contig")] for row in rows[1:]]
    assert ids == [f"read{number}/{mate}" for mate in "12" for number in range(3)]
    viral = gzip.decompress((results / "viral.fna.gz").read_bytes()).decode().split(">")[1:]
    assert {record.split()[0]: record.partition("\n")[2].replace("\n", "") for record in viral}.items() <= dict(
        zip(ids, sequences, strict=True)
    ).items()
    assert viral
    record = json.loads((results / "run.json").read_text())
    assert len(record["inputs"]) == 2
    assert record["counts"]["reads"]["pairs"] == 3
    mates = [gzip.decompress((results / f"viral_R{mate}.fastq.gz").read_bytes()).decode() for mate in "12"]
    assert mates[0].count("\n+\n") == mates[1].count("\n+\n") == record["counts"]["reads"]["viral"] / 2 > 0

    (tmp_path / "reads_2.fq.gz").write_bytes(b"no sequences")
    ended = virnucpro("predict", *options, "--no-progress")
    assert ended.returncode == 5
    assert "reads_2.fq.gz" in ended.stderr
