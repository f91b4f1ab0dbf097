"""A training as a workflow: from genomes to a model that predicts, again with another recipe, and what is refused."""

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.runs import DEMO, ROOT, call, contigs, planned, virnucpro, virnucpro_command, virnucpro_here
from virnucpro_kernels.weights.registry import Calibration, find_model, read_model, write_model

TABLE = ROOT / ".test" / "data" / "training.tsv"
TRAIN = ROOT / "workflow" / "train.smk"
SMALL = ("--base", "builtin-500", "--windows", "60", "--set", "held_out_windows=20")


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which the commands of the page have run as they stand there; not to be changed."""
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / ".test").symlink_to(ROOT / ".test")
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    page = page.partition("## Try it")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    commands = "".join(block for kind, block in blocks if not kind)
    program = f'virnucpro() {{ {shlex.join(map(str, virnucpro_command()))} "$@"; }}\n'
    ended = call(["bash", "-euo", "pipefail", "-c", program + commands], folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    printed = [line for kind, block in blocks if kind == "text" for line in block.splitlines()]
    assert set(printed) <= set(ended.stdout.splitlines())
    assert re.search(r"^embedding: .* (left|unknown yet)$", ended.stderr, re.MULTILINE)
    calibrate = f"until virnucpro calibrate training/models/tutorial-500 --genomes {folder / '.test/data/training.tsv'}"
    assert f"{calibrate} --seed 42 --output-dir calibration" in ended.stdout
    return folder


def test_the_model_has_the_encoders_of_its_base_and_predicts(tutorial: Path) -> None:
    models = tutorial / "training" / "models"
    model, base = find_model("tutorial-500", models), find_model("builtin-500")
    assert (model.nucleotide, model.protein, model.tokenizer) == (base.nucleotide, base.protein, base.tokenizer)
    assert model.classifier.sha256 != find_model("tutorial-original", models).classifier.sha256
    assert model.purpose == "trial"
    listed = virnucpro_here("weights", "list", "--models-dir", models).stdout
    assert re.search(r"^tutorial-500 +500 bp .* complete ", listed, re.MULTILINE)
    record = json.loads((tutorial / "scored" / "results" / "demo" / "run.json").read_text())
    assert record["model"]["name"] == "tutorial-500"
    assert record["counts"]["status"]["scored"] == 71


def test_the_card_says_what_the_model_was_made_from(tutorial: Path) -> None:
    card = (tutorial / "training" / "models" / "tutorial-500" / "model_card.md").read_text()
    for split, virus, host in (("val", "parvovirus", "yersinia"), ("test", "influenza", "arabidopsis")):
        assert re.search(rf"^- {split}: ({virus}, {host}|{host}, {virus})$", card, re.MULTILINE)
        assert re.search(rf"^\| {split}, windows \| 200 \| [01]\.\d{{3}} \|", card, re.MULTILINE)
        assert f"| {split} | virus | 100 |" in card
    file = rf"^\| `{DEMO.name}` \| 104 \| {DEMO.stat().st_size:,} \| `[0-9a-f]{{64}}` \|$"
    assert re.search(file, card, re.MULTILINE)
    for text in ("| recipe | default |", "| seed | 42 |", "epochs | 20, of which number", "untrained"):
        assert text in card


def test_what_is_there_is_not_made_again_and_what_is_damaged_is_with_the_same_weights(
    tutorial: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tutorial / "training", tmp_path / "training"))
    assert planned(folder, snakefile=TRAIN) == {}
    assert planned(folder, "--config", "recipe=default", "name=other", snakefile=TRAIN) == {"fit": 1}
    first = (folder / "models" / "tutorial-original" / "classifier.safetensors").read_bytes()
    shutil.rmtree(folder / "models")
    [features] = folder.glob("work/500-original/windows/*/00000.features.h5")
    content = bytearray(features.read_bytes())
    content[len(content) // 2] ^= 0xFF
    features.write_bytes(content)
    ended = virnucpro("train", "--output-dir", folder)
    assert ended.returncode == 3
    assert re.search(
        r"^error: fit: .*00000\.features\.h5: this is not a whole embedding file", ended.stderr, re.MULTILINE
    )
    assert "it is now 00000.features.h5.damaged, and is made again" in ended.stderr
    ended = virnucpro("train", "--output-dir", folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (folder / "models" / "tutorial-original" / "classifier.safetensors").read_bytes() == first


def test_what_is_told_of_the_calibration(tutorial: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tutorial / "training", tmp_path / "training"))
    lost, none = (
        "its earlier calibration went with its earlier weights\n",
        "are no probabilities, until virnucpro calibrate",
    )
    model = read_model(folder / "models" / "tutorial-original")
    calibrated = replace(model, calibration=Calibration(0.2, -1.0, 0.0, 0.0, 1.0, 0.0, 0.0, "some contigs"))
    write_model(calibrated)
    ended = virnucpro("train", "--output-dir", folder)
    assert ended.returncode == 0, ended.stderr
    assert read_model(model.directory) == calibrated, "nothing is made again"
    assert lost not in ended.stdout
    assert none not in ended.stdout
    for expected in (True, False):
        ended = virnucpro("train", "--recipe", "default", "--output-dir", folder)
        assert ended.returncode == 0, ended.stderr
        assert read_model(model.directory).calibration is None
        assert (lost in ended.stdout) is expected
        assert none in ended.stdout


def test_windows_of_another_length_than_those_of_the_base(tmp_path: Path) -> None:
    folder = tmp_path / "training"
    ended = virnucpro("train", TABLE, *SMALL, "--set", "window_length=300", "--output-dir", folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    model = folder / "models" / "trained"
    assert read_model(model).window_length == 300
    (tmp_path / "some.fa").write_text(contigs(0, 3))
    out = tmp_path / "out"
    scored = virnucpro("predict", tmp_path / "some.fa", "--model", model, "--no-report", "--output-dir", out)
    assert scored.returncode == 0, scored.stderr
    record = json.loads((out / "results" / "some" / "run.json").read_text())
    assert record["parameters"]["geometry"] == "300-original"
    assert record["counts"]["status"]["scored"] == 3

    # For the base itself, which knows windows of 500 bp, they are not embedded.
    vectors = ("--nucleotide", tmp_path / "n.h5", "--protein", tmp_path / "p.h5")
    manifest = folder / "work" / "300-original" / "windows" / "chunks.tsv"
    refused = virnucpro_here("embed", manifest, "--chunk", "00000", "--model", "builtin-500", *vectors)
    assert refused.returncode == 3
    assert "windows of 300 bp, but model builtin-500 is for 500 bp" in refused.stderr


def test_a_fresh_clone_plans_the_training_of_the_example(tmp_path: Path) -> None:
    for name in (".test", "config"):
        (tmp_path / name).symlink_to(ROOT / name)
    assert planned(tmp_path, snakefile=TRAIN) == {"draw": 1, "split": 1, "fit": 1}


def test_a_group_on_two_sides_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    shutil.copy(DEMO, tmp_path)
    table = tmp_path / "genomes.tsv"
    lines = TABLE.read_text().splitlines()
    moved = next(number for number, line in enumerate(lines) if "lambda" in line)
    lines[moved] = lines[moved].replace("train", "test")
    table.write_text("\n".join(lines) + "\n")
    ended = virnucpro_here("train", table, *SMALL, "--output-dir", tmp_path / "out")
    assert ended.returncode == 5
    assert f"error: {table}: group 'lambda' is on two sides of the split (test, train)" in ended.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("frames=none", "options: frames: 'none' is not one of ['all', 'cds']"),
        ("recipies=original", "options: unknown key 'recipies'; did you mean 'recipe'?"),
        ("name=builtin-mine", "options: name: 'builtin-mine' is not allowed"),
    ],
)
def test_a_wrong_configuration_is_refused(tmp_path: Path, setting: str, told: str) -> None:
    ended = virnucpro_here("train", TABLE, "--base", "builtin-500", "--set", setting, "--output-dir", tmp_path / "out")
    assert ended.returncode == 5
    assert told in ended.stderr
    assert not (tmp_path / "out").exists()


def test_why_a_job_failed_is_told(tmp_path: Path) -> None:
    ended = virnucpro("train", TABLE, *SMALL, "--set", "window_length=5000", "--output-dir", tmp_path / "out")
    assert ended.returncode == 5
    assert re.search(r"^error: draw: \w+, \w+: no record is as long as a window, 5000 bp \(logs: ", ended.stderr, re.M)
