"""`virnucpro calibrate MODEL --genomes`: pieces drawn, predicted by a real Snakemake, and the values in the model."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.helpers.runs import (
    DEMO,
    MODEL,
    ROOT,
    call,
    contigs,
    heed_signals,
    virnucpro,
    virnucpro_command,
    virnucpro_here,
)
from virnucpro_kernels.pool.job_record import read_job
from virnucpro_kernels.sequences.records import read_records
from virnucpro_kernels.train.genomes import assign_splits, read_genomes
from virnucpro_kernels.weights.registry import BUILTIN_DIRECTORY, read_model

TABLE = ROOT / ".test" / "data" / "training.tsv"
OPTIONS = ("--genomes", TABLE, "--output-dir", "calibration", "--pieces", "960", "--threads", "2")
#: Seconds after which a test gives up waiting for something, on a machine that may be busy.
LIMIT = 600


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a model, `mine`, that the command has calibrated in `calibration`; not to be changed."""
    folder = tmp_path_factory.mktemp("calibrate")
    shutil.copytree(BUILTIN_DIRECTORY / MODEL, folder / "mine")
    ended = virnucpro("calibrate", "mine", *OPTIONS, directory=folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = (
        rf"^{MODEL}: calibrated on [\d,]+ viral contigs and [\d,]+ of hosts of 150 to 1,500 bp of split val of"
        r" training\.tsv, for a share of 0\.2 of viral sequences$"
    )
    assert re.search(told, ended.stdout, re.MULTILINE)
    assert "960 of 150 to 1,500 bp, half of them viral" in ended.stderr
    assert "no virus or no host of this split is so long" in ended.stderr
    assert "no probabilities" not in ended.stderr, "that is being changed"
    return folder


def values(model: Path) -> Any:
    return replace(read_model(model).calibrated(), source="")


def test_pieces_are_of_val_and_what_the_truth_says(done: Path) -> None:
    table: Any = pd.read_csv(done / "calibration" / "pieces" / "truth.tsv", sep="\t")
    assert table["label"].value_counts().to_dict() == {"virus": 480, "host": 480}
    assert set(table["group"]) == {"parvovirus", "yersinia"}
    numbers = {length: 100 if length in (150, 300, 500, 1000) else 40 for length in (150, 300, 500, 700, 1000, 1500)}
    for label in ("virus", "host"):
        assert table.loc[table["label"] == label, "length"].value_counts().to_dict() == numbers
    whole = {record.contig: record.sequence for record in read_records(DEMO)}
    pieces = {record.contig: record.sequence for record in read_records(done / "calibration/pieces/contigs.fna.gz")}
    assert list(pieces) == table["contig"].tolist()
    for row in table.itertuples():
        assert pieces[row.contig] == whole[row.record][row.start : row.start + row.length]


def test_values_are_those_of_the_results_and_their_truth(done: Path, tmp_path: Path) -> None:
    """The other form of the command, on a copy that a user makes as the refusal of a built-in model says."""
    before = (BUILTIN_DIRECTORY / MODEL / "model.toml").read_bytes()
    results = (done / "calibration", "--truth", done / "calibration" / "pieces" / "truth.tsv")
    refused = virnucpro_here("calibrate", MODEL, *results)
    assert refused.returncode == 5
    assert f"{MODEL} is part of the installed package, which stays as it is" in refused.stderr
    assert (BUILTIN_DIRECTORY / MODEL / "model.toml").read_bytes() == before
    [copy, model] = re.findall(r"(cp -r .*) && virnucpro calibrate (\S+) …", refused.stderr)[0]
    assert call(shlex.split(copy), tmp_path).returncode == 0
    ended = virnucpro("calibrate", model, *results, directory=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert values(tmp_path / model) == values(done / "mine")
    assert values(done / "mine").slope > 0


def test_an_interrupted_one_goes_on_and_ends_with_the_same_bytes(done: Path, tmp_path: Path) -> None:
    shutil.copytree(BUILTIN_DIRECTORY / MODEL, tmp_path / "mine")
    before = (tmp_path / "mine" / "model.toml").read_bytes()
    command = [str(part) for part in virnucpro_command("calibrate", "mine", *OPTIONS)]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_signals
    )
    since = time.monotonic()
    while not any((tmp_path / "calibration" / "work").rglob("*.embed.json")):
        assert process.poll() is None
        assert time.monotonic() - since < LIMIT
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=LIMIT)
    assert process.returncode == 130, told
    assert "run the same command to resume" in told
    assert (tmp_path / "mine" / "model.toml").read_bytes() == before

    split = next((tmp_path / "calibration" / "work").rglob("split.json"))
    first = read_job(split)["started"]
    for _ in range(2):
        ended = virnucpro("calibrate", "mine", *OPTIONS, directory=tmp_path)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert (tmp_path / "mine" / "model.toml").read_bytes() == (done / "mine" / "model.toml").read_bytes()
        assert read_job(split)["started"] == first, "what is there is not made again"


def test_what_cannot_be_drawn_from_is_refused_before_anything_is_predicted(tmp_path: Path) -> None:
    model = shutil.copytree(BUILTIN_DIRECTORY / MODEL, tmp_path / "mine")
    shutil.copy(DEMO, tmp_path)
    lines = TABLE.read_text()
    (tmp_path / "both.tsv").write_text(lines.replace("lambda\ttrain", "parvovirus\ttrain"))
    (tmp_path / "hosts.tsv").write_text(re.sub(r".*\tvirus\t.*\tval\n", "", lines))
    (tmp_path / "more.tsv").write_text(lines + "demo.fna.gz\tnone.1\thost\tbacteria\tnew\tval\n")
    (tmp_path / "run" / "config").mkdir(parents=True)
    (tmp_path / "run" / "config" / "samples.tsv").write_text(f"sample\tinput\na\t{DEMO}\n")
    for table, options, told in (
        (TABLE, ("--split", "train"), "--split train: a model knows the genomes that it was trained on"),
        (TABLE, ("--split", "other"), "no record of split 'other'; there is test, train, val"),
        (tmp_path / "both.tsv", (), "group 'parvovirus' is on two sides of the split (train, val)"),
        (tmp_path / "hosts.tsv", (), "there is no virus, and a calibration needs viruses and hosts"),
        (tmp_path / "more.tsv", (), "are in none of the sequence files, such as none.1"),
        (TABLE, ("-o", tmp_path / "run"), "holds another run than that of a calibration"),
    ):
        ended = virnucpro_here("calibrate", model, "--genomes", table, "-o", tmp_path / "out", *options)
        assert ended.returncode == 5, told
        assert told in ended.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "nothing to fit on; give --genomes"),
        (("results",), "without --truth; give"),
        (("--truth", "t.tsv"), "without RESULTS; give"),
        (("--genomes", "g.tsv"), "without --output-dir; give"),
        (("--seed", "3"), "without --genomes and --output-dir; give"),
        (("results", "--genomes", "g.tsv"), "RESULTS and --genomes exclude one another"),
        (("--genomes", "g.tsv", "-o", "o", "--truth", "t.tsv"), "--truth and --genomes, --output-dir exclude"),
        (("results", "--truth", "t.tsv", "--threads", "2"), "RESULTS, --truth and --threads exclude"),
    ],
)
def test_what_is_missing_or_too_much_is_named(words: tuple[str, ...], told: str) -> None:
    ended = virnucpro_here("calibrate", MODEL, *words)
    assert ended.returncode == 5
    assert told in ended.stderr


def test_a_table_without_splits_is_split_as_for_a_training(tmp_path: Path) -> None:
    """Groups that a training with this seed has seen are not drawn from."""
    shutil.copy(DEMO, tmp_path)
    rows: Any = pd.read_csv(TABLE, sep="\t").drop(columns="split")
    # A category has groups on all sides from three on.
    rows["category"] = rows["label"]
    rows["group"] = rows["seq_id"]
    rows.to_csv(tmp_path / "genomes.tsv", sep="\t", index=False)
    model = shutil.copytree(BUILTIN_DIRECTORY / MODEL, tmp_path / "mine")
    options = ("--seed", "7", "--pieces", "200", "-o", tmp_path / "out", "--gpus", "many")  # is refused after the draw
    ended = virnucpro_here("calibrate", model, "--genomes", tmp_path / "genomes.tsv", *options)
    assert "--gpus many" in ended.stderr
    drawn = pd.read_csv(tmp_path / "out" / "pieces" / "truth.tsv", sep="\t")
    table = read_genomes(tmp_path / "genomes.tsv", 7)
    of_val = {genome.group for genome in table.genomes if genome.split == "val"}
    assert of_val == {genome.group for genome in assign_splits(table.genomes, 7) if genome.split == "val"}
    assert set(drawn["group"]) <= of_val


def test_a_model_without_a_calibration_says_so_and_names_the_command(tmp_path: Path) -> None:
    (tmp_path / "some.fa").write_text(contigs(0, 3))
    shutil.copytree(BUILTIN_DIRECTORY / MODEL, tmp_path / "my model")
    copied = f"cp -r {BUILTIN_DIRECTORY / MODEL} {MODEL}-calibrated && virnucpro calibrate ./{MODEL}-calibrated "
    models = {MODEL: copied, "my model": f"virnucpro calibrate '{tmp_path / 'my model'}' "}
    for number, (model, command) in enumerate(models.items()):
        command += "--genomes GENOMES_TSV --output-dir calibration"
        out = tmp_path / f"out{number}"
        report = "--report" if number == 0 else "--no-report"
        ended = virnucpro("predict", "some.fa", "-o", out, "--model", model, report, directory=tmp_path)
        assert ended.returncode == 0, ended.stderr
        told = " ".join(ended.stderr.split())
        assert f"scores of {MODEL} rank contigs, but are no probabilities: no calibration ({command})" in told
        record = json.loads((out / "results" / "some" / "run.json").read_text())
        assert record["model"]["calibration"] is None
        assert record["model"]["calibration_notice"].endswith(f"give it one: {command}")
    page = (tmp_path / "out0" / "results" / "report.html").read_text()
    assert f"{MODEL} has no calibration: p_virus ranks contigs, but is no probability" in page
    listed = virnucpro_here("weights", "list").stdout
    assert re.search(rf"^{MODEL} .* complete +none ", listed, re.MULTILINE)
    assert re.search(r"^compact-500 .* complete +for a share of 0\.2 ", listed, re.MULTILINE)
    assert "calibrate MODEL --genomes GENOMES_TSV" in listed
