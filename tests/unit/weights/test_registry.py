"""What `model.toml` says survives a round trip; models are found by name and path; what is missing is explained."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from virnucpro_kernels.errors import DamagedFileError, UsageError
from virnucpro_kernels.weights.registry import (
    Calibration,
    ClassifierInfo,
    EncoderInfo,
    FileInfo,
    Model,
    complete_models,
    find_model,
    model_directories,
    read_model,
    write_model,
)

ODD_TEXT = 'a "quoted" \\ text\nof two lines, \x7f and é'


def make_model(directory: Path, name: str = "virnucpro-500", window_length: int = 500) -> Model:
    """A model directory whose files have the right sizes and nothing of weights in them."""
    directory.mkdir(parents=True)
    files = {"nucleotide.safetensors": 10, "tokenizer.json": 3, "protein.safetensors": 20, "classifier.safetensors": 5}
    for file, size in files.items():
        (directory / file).write_bytes(bytes(size))

    def facts(file: str, digit: str) -> tuple[str, str, int, str, str]:
        return file, digit * 64, files[file], ODD_TEXT, ""

    def encoder(file: str, digit: str, *, name: str, architecture: str, hidden: int) -> EncoderInfo:
        return EncoderInfo(
            *facts(file, digit), name, architecture, layers=2, hidden=hidden, heads=4, feed_forward=32, vocabulary=33
        )

    model = Model(
        name=name,
        directory=directory,
        window_length=window_length,
        layout="original",
        purpose="work",
        source=ODD_TEXT,
        licence="MIT",
        notes="",
        nucleotide=encoder("nucleotide.safetensors", "1", name="dnabert-s", architecture="dnabert", hidden=8),
        tokenizer=FileInfo(*facts("tokenizer.json", "2")),
        protein=encoder("protein.safetensors", "3", name="esm2-3b", architecture="esm2", hidden=16),
        classifier=ClassifierInfo(*facts("classifier.safetensors", "4"), dimension=24, hidden=512),
    )
    write_model(model)
    return model


def test_model_toml_survives_a_round_trip(tmp_path: Path) -> None:
    model = make_model(tmp_path / "m")
    assert read_model(tmp_path / "m") == model
    assert model.protein.dimension == 16


def test_a_calibration_survives_too_and_decides_the_scores_name(tmp_path: Path) -> None:
    plain = make_model(tmp_path / "m")
    with pytest.raises(UsageError, match="virnucpro calibrate"):
        plain.calibrated()
    model = replace(plain, calibration=Calibration(0.2, -1.5, 1e-7, -3.0, 0.75, 2.0, 0.125, ODD_TEXT))
    write_model(model)
    assert read_model(tmp_path / "m") == model
    assert model.calibrated().prior == 0.2
    assert model.model_id != plain.model_id
    text = (tmp_path / "m" / "model.toml").read_text()
    # An earlier one, which changed in one way with all lengths.
    earlier = "".join(line for line in text.splitlines(True) if "_per_halving" not in line)
    (tmp_path / "m" / "model.toml").write_text(earlier)
    found = read_model(tmp_path / "m").calibrated()
    assert (found.intercept_per_halving, found.slope_per_halving) == (-1e-7, -2.0)
    (tmp_path / "m" / "model.toml").write_text(text.replace("prior = 0.2", "prior = 1.0"))
    with pytest.raises(DamagedFileError, match="prior"):
        read_model(tmp_path / "m")


def test_a_model_is_found_by_name_and_by_path(tmp_path: Path) -> None:
    model = make_model(tmp_path / "models" / "mine", "mine")
    assert find_model("mine", tmp_path / "models") == model
    assert find_model(str(tmp_path / "models" / "mine"), tmp_path / "nowhere") == model


def test_without_a_name_the_imported_released_model_is_found(tmp_path: Path) -> None:
    make_model(tmp_path / "other")
    with pytest.raises(UsageError, match="no released model is imported"):
        find_model(None, tmp_path)
    short = make_model(tmp_path / "virnucpro-300", "virnucpro-300", 300)
    assert find_model(None, tmp_path) == short
    usual = make_model(tmp_path / "virnucpro-500")
    assert find_model(None, tmp_path) == usual


def test_what_is_not_there_is_answered_with_both_ways_on(tmp_path: Path) -> None:
    make_model(tmp_path / "mine", "mine")
    with pytest.raises(UsageError) as caught:
        find_model("virnucpro-300", tmp_path)
    assert caught.value.exit_code == 5
    for part in ("virnucpro-300", "mine", "virnucpro weights fetch virnucpro-300", "--model compact-500"):
        assert part in str(caught.value)


@pytest.mark.parametrize("file", ["protein.safetensors", "tokenizer.json"])
def test_an_incomplete_model_is_refused(tmp_path: Path, file: str) -> None:
    make_model(tmp_path / "mine", "mine")
    assert [model.name for model in complete_models(tmp_path) if model.name == "mine"] == ["mine"]
    (tmp_path / "mine" / file).write_bytes(b"")
    with pytest.raises(DamagedFileError, match="0 bytes instead of") as caught:
        find_model("mine", tmp_path)
    assert caught.value.exit_code == 3
    (tmp_path / "mine" / file).unlink()
    with pytest.raises(DamagedFileError, match="missing"):
        find_model("mine", tmp_path)
    assert not [model for model in complete_models(tmp_path) if model.name == "mine"]
    assert tmp_path / "mine" in model_directories(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema = 1", "schema = 2", "schema 2"),
        ("window_length = 500", 'window_length = "500"', "window_length"),
        ('purpose = "work"', 'purpose = "play"', "purpose"),
        ("heads = 4", "", "heads"),
        ('file = "protein.safetensors"', 'file = "../protein.safetensors"', "plain file name"),
        ("[classifier]", "[class", "model.toml"),
        ("[tokenizer]", "[other]", "tokenizer"),
    ],
)
def test_a_damaged_model_toml_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    make_model(tmp_path / "mine")
    path = tmp_path / "mine" / "model.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(DamagedFileError, match=message):
        read_model(tmp_path / "mine")


def test_ids_follow_from_what_decides_the_numbers(tmp_path: Path) -> None:
    model = make_model(tmp_path / "mine")
    assert model.encoders_id("fp16").startswith("dnabert-s+esm2-3b-fp16-")
    assert model.model_id.startswith("virnucpro-500-")
    assert model.encoders_id("fp16") != model.encoders_id("fp32")
    digits = {precision: model.encoders_id(precision)[-8:] for precision in ("fp16", "fp8-ff", "fp8", "fp8+0,35")}
    assert digits["fp8-ff"] == digits["fp8"] == digits["fp8+0,35"] != digits["fp16"]  # where biases are corrected
    other_classifier = replace(model, classifier=replace(model.classifier, sha256="9" * 64))
    assert other_classifier.encoders_id("fp16") == model.encoders_id("fp16")
    assert other_classifier.model_id != model.model_id
    for part in ("nucleotide", "tokenizer", "protein"):
        other = replace(model, **{part: replace(getattr(model, part), sha256="9" * 64)})
        assert other.encoders_id("fp16") != model.encoders_id("fp16")
        assert other.encoders_id("fp8-ff+0") != model.encoders_id("fp8-ff+0")
        assert other.model_id == model.model_id


def test_windows_of_another_length_are_refused(tmp_path: Path) -> None:
    model = make_model(tmp_path / "mine")
    model.check_window_length(500, "work/500-original/a")
    with pytest.raises(DamagedFileError, match=r"work/300-original/a: windows of 300 bp.*for 500 bp"):
        model.check_window_length(300, "work/300-original/a")


def test_the_registry_needs_the_standard_library_only(tmp_path: Path) -> None:
    """Snakemake reads it while it parses."""
    make_model(tmp_path / "mine", "mine")
    program = (
        "import sys; from pathlib import Path; from virnucpro_kernels.weights.registry import find_model;"
        f"find_model('mine', Path({str(tmp_path)!r}));"
        "print([name for name in ('torch', 'numpy', 'pandas', 'safetensors', 'typer') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_directory_that_names_no_layout_is_of_the_original_one(tmp_path: Path) -> None:
    model = make_model(tmp_path / "mine")
    path = model.directory / "model.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('layout = "original"\n', ""), encoding="utf-8")
    assert read_model(model.directory) == model
    path.write_text(text.replace('layout = "original"', 'layout = "segments"'), encoding="utf-8")
    assert read_model(model.directory).adds_frames
