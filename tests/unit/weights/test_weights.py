"""Model directories: made whole or not at all, loaded as what was imported, damage noticed."""

import logging
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.helpers.faults import FaultyConversion
from tests.helpers.original_models import CLASSIFIER, Originals, files_of, flip
from tests.helpers.published_files import classifier, fair_esm, write_dnabert, write_fair_esm, write_pickled_classifier
from virnucpro_kernels.cli.main import main
from virnucpro_kernels.errors import DamagedFileError, FaultyDeviceError, UsageError
from virnucpro_kernels.models.classifier import Classifier, ClassifierConfig
from virnucpro_kernels.models.dnabert_s import DnabertConfig, DnabertS
from virnucpro_kernels.models.esm2 import Esm2, Esm2Config
from virnucpro_kernels.models.tokenizers import tokenize_proteins
from virnucpro_kernels.ops.packing import pack
from virnucpro_kernels.sequences.arrays import SequenceArray
from virnucpro_kernels.weights.directory import (
    NewClassifier,
    NewEncoder,
    Origin,
    PresentEncoder,
    tensors_of,
    write_model_directory,
)
from virnucpro_kernels.weights.import_model import import_model
from virnucpro_kernels.weights.load import (
    bit_sum,
    load_classifier,
    load_dna_tokenizer,
    load_nucleotide_encoder,
    load_protein_encoder,
    verify,
)
from virnucpro_kernels.weights.registry import Description, Model, find_model, read_model


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["virnucpro", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_an_imported_model_loads_as_what_was_imported(tmp_path: Path, originals: Originals) -> None:
    originals.imported(tmp_path / "models")
    model = find_model("virnucpro-500", tmp_path / "models")
    assert model.window_length == 500
    assert model.classifier.dimension == model.nucleotide.dimension + model.protein.dimension
    assert files_of(model.directory) == [
        "classifier.safetensors",
        "model.toml",
        "nucleotide.safetensors",
        "protein.safetensors",
        "tokenizer.json",
    ]

    reference = fair_esm(2, 64, 4)
    proteins = ["MKVLAX", "GGSTW"]
    _, _, tokens = reference.alphabet.get_batch_converter()([("", protein) for protein in proteins])
    with torch.inference_mode():
        expected = reference(tokens, [2])["representations"][2]
    encoder = load_protein_encoder(model, "cpu", torch.float32)
    batch = pack(tokenize_proteins(SequenceArray.from_list([p.encode() for p in proteins])), slice(0, 2))
    means = torch.stack([expected[0, 1:7].mean(0), expected[1, 1:6].mean(0)])
    torch.testing.assert_close(encoder.embed(batch), means, rtol=1e-5, atol=1e-5)

    dna = load_dna_tokenizer(model).encode(SequenceArray.from_list([b"ACGTTGCAN"]))
    nucleotide = load_nucleotide_encoder(model, "cpu", torch.float32)
    assert nucleotide.embed(pack(dna, slice(0, 1))).shape == (1, 48)

    features = torch.randn(4, CLASSIFIER.dimension)
    with torch.inference_mode():
        logits = classifier(CLASSIFIER)(features)
        torch.testing.assert_close(load_classifier(model).logit(features), logits[:, 1] - logits[:, 0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_load_in_the_type_of_the_run_and_tables_in_fp32(
    tmp_path: Path, originals: Originals, dtype: torch.dtype
) -> None:
    model = originals.imported(tmp_path)
    for encoder in (load_protein_encoder(model, "cpu", dtype), load_nucleotide_encoder(model, "cpu", dtype)):
        assert {parameter.dtype for parameter in encoder.parameters()} == {dtype}
        assert {buffer.dtype for buffer in encoder.buffers()} == {torch.float32}
        assert not any(parameter.requires_grad for parameter in encoder.parameters())
        assert not encoder.training


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_that_change_where_they_are_converted_are_refused(
    tmp_path: Path, originals: Originals, dtype: torch.dtype
) -> None:
    model = originals.imported(tmp_path)
    with (
        FaultyConversion(torch.device("cpu"), dtype) as faulty,
        pytest.raises(
            FaultyDeviceError, match=r"^the CPU of .* holds wrong weights: .* in .*nucleotide\.safetensors\."
        ),
    ):
        load_nucleotide_encoder(model, "cpu", dtype)
    assert faulty.flipped


def test_the_same_files_make_the_same_bytes(tmp_path: Path, originals: Originals) -> None:
    first, second = originals.imported(tmp_path / "a"), originals.imported(tmp_path / "b")
    for one, other in zip(first.files, second.files, strict=True):
        assert one == other
        assert first.path(one).read_bytes() == second.path(other).read_bytes()


def test_an_encoder_that_is_there_already_is_linked(tmp_path: Path, originals: Originals) -> None:
    first = originals.imported(tmp_path)
    second = originals.imported(tmp_path, "virnucpro-300", 300)
    assert second.path(second.protein).samefile(first.path(first.protein))
    assert second.path(second.nucleotide).samefile(first.path(first.nucleotide))
    assert first.encoders_id("fp32") == second.encoders_id("fp32")
    originals.protein, originals.nucleotide = first.path(first.protein), first.path(first.nucleotide)
    third = originals.imported(tmp_path, "own-classifier")
    assert third.path(third.protein).samefile(first.path(first.protein))
    assert verify(third) == []


def test_parts_that_do_not_belong_together_are_refused(tmp_path: Path, originals: Originals) -> None:
    write_pickled_classifier(originals.classifier, classifier(ClassifierConfig(3328)))
    with pytest.raises(UsageError, match=r"takes 3328 features.* 48 .* 64"):
        originals.imported(tmp_path / "models")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "builtin-500", "a b"])
def test_names_that_are_no_directory_names_are_refused(tmp_path: Path, originals: Originals, name: str) -> None:
    with pytest.raises(UsageError, match="model name"):
        originals.imported(tmp_path, name)


def test_the_name_of_a_model_of_the_package_is_refused(tmp_path: Path, originals: Originals) -> None:
    with pytest.raises(UsageError, match="model compact-500 comes with the package; choose another name"):
        originals.imported(tmp_path, "compact-500")


def test_a_model_is_not_overwritten(tmp_path: Path, originals: Originals) -> None:
    originals.imported(tmp_path)
    with pytest.raises(UsageError, match="already"):
        originals.imported(tmp_path)


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, originals: Originals) -> None:
    damaged = fair_esm(2, 64, 4)
    damaged.layers[1].fc2.weight.data[3, 5] = torch.inf
    write_fair_esm(originals.protein, damaged)
    with pytest.raises(DamagedFileError, match=r"esm2_t2_tiny\.pt: blocks\.1\.feed_forward\.down\.weight"):
        originals.imported(tmp_path / "models")


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path, originals: Originals) -> None:
    larger = write_dnabert(tmp_path / "larger", DnabertConfig(1, 48, 12, 64, 300))
    shutil.copy(larger / "tokenizer.json", originals.nucleotide / "tokenizer.json")
    with pytest.raises(UsageError, match="do not belong together"):
        originals.imported(tmp_path / "models")


def test_a_killed_import_leaves_nothing_that_looks_complete(tmp_path: Path, originals: Originals) -> None:
    """Killed at its first files, and when only the name of the folder is missing. The next import succeeds."""
    models = tmp_path / "models"
    program = f"""
import os, signal, sys
from pathlib import Path
from virnucpro_kernels.weights.import_model import import_model

def kill_at(event, arguments):
    if event == sys.argv[1] and any(str(word).endswith(sys.argv[2]) for word in arguments):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill_at)
import_model('m', 500, protein=Path({str(originals.protein)!r}), nucleotide=Path({str(originals.nucleotide)!r}),
             classifier=Path({str(originals.classifier)!r}), models_dir=Path({str(models)!r}))
"""
    for moment in (("shutil.copyfile", "tokenizer.json"), ("os.rename", ".m.unfinished")):
        ended = subprocess.run([sys.executable, "-c", program, *moment], check=False)
        assert ended.returncode == -signal.SIGKILL, moment
        assert files_of(models / ".m.unfinished")
        with pytest.raises(UsageError):
            find_model("m", models)
    model = import_model(
        "m",
        500,
        protein=originals.protein,
        nucleotide=originals.nucleotide,
        classifier=originals.classifier,
        models_dir=models,
    )
    assert verify(model) == []
    assert files_of(models) == ["m"]


@pytest.mark.parametrize("part", ["nucleotide", "tokenizer", "protein", "classifier"])
def test_a_changed_file_is_refused_when_loading(tmp_path: Path, originals: Originals, part: str) -> None:
    model = originals.imported(tmp_path)
    flip(model.path(getattr(model, part)), -1)
    load = {
        "nucleotide": lambda: load_nucleotide_encoder(model, "cpu", torch.float32),
        "tokenizer": lambda: load_dna_tokenizer(model),
        "protein": lambda: load_protein_encoder(model, "cpu", torch.float32),
        "classifier": lambda: load_classifier(model),
    }[part]
    with pytest.raises(DamagedFileError, match=r"not the file that model\.toml describes") as caught:
        load()
    assert caught.value.exit_code == 3


def large_model(directory: Path) -> Model:
    """A model with an encoder too large to be hashed at every start (64 MB)."""
    torch.manual_seed(0)
    protein = Esm2(Esm2Config(layers=1, hidden=1216, heads=19, feed_forward=4864))
    nucleotide = DnabertS(DnabertConfig(layers=1, hidden=32, heads=2, feed_forward=32, vocabulary=64))
    folder = directory.parent / "tokenizer"
    write_dnabert(folder, DnabertConfig(1, 48, 12, 64, 60))
    return write_model_directory(
        directory,
        Description("large", 300, "original", "trial", "made in a test", "none", ""),
        NewEncoder("builtin-nucleotide", nucleotide.config, tensors_of(nucleotide, torch.float16), Origin("seed 0")),
        folder / "tokenizer.json",
        Origin("here"),
        NewEncoder("builtin-protein", protein.config, tensors_of(protein, torch.float32), Origin("seed 0")),
        NewClassifier(
            ClassifierConfig(1248, 8), tensors_of(Classifier(ClassifierConfig(1248, 8)), torch.float32), Origin("")
        ),
    )


def test_a_large_file_is_hashed_once_and_again_when_it_changes(tmp_path: Path) -> None:
    model = large_model(tmp_path / "large")
    assert read_model(tmp_path / "large") == model
    assert model.protein.bytes > 64 << 20
    path = model.path(model.protein)
    shutil.copytree(tmp_path / "large", tmp_path / "copy")
    assert verify(replace(model, directory=tmp_path / "copy")) == []
    load_protein_encoder(model, "cpu", torch.float16)
    unchanged = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x55")
    with pytest.raises(DamagedFileError):
        load_protein_encoder(model, "cpu", torch.float16)
    os.utime(path, ns=(unchanged.st_atime_ns, unchanged.st_mtime_ns))
    with pytest.raises(DamagedFileError):
        load_protein_encoder(model, "cpu", torch.float16)
    assert any("protein" in problem for problem in verify(model))


def test_the_checksum_of_a_large_file_is_taken_once_for_a_copy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    model = large_model(tmp_path / "large")
    load_protein_encoder(model, "cpu", torch.float32)
    assert "taking the checksum" not in caplog.text
    shutil.copytree(tmp_path / "large", tmp_path / "copy")
    for _ in range(2):
        load_protein_encoder(read_model(tmp_path / "copy"), "cpu", torch.float32)
        assert caplog.text.count("taking the checksum") == 1


def test_a_link_to_a_large_file_has_no_checksum_taken_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    model = large_model(tmp_path / "large")
    linked = write_model_directory(
        tmp_path / "linked",
        Description("linked", 300, "original", "trial", "made in a test", "none", ""),
        PresentEncoder(model, model.nucleotide),
        model.path(model.tokenizer),
        Origin("here"),
        PresentEncoder(model, model.protein),
        NewClassifier(
            ClassifierConfig(1248, 8), tensors_of(Classifier(ClassifierConfig(1248, 8)), torch.float32), Origin("")
        ),
    )
    assert linked.path(linked.protein).samefile(model.path(model.protein))
    for each in (model, linked):
        load_protein_encoder(each, "cpu", torch.float32)
    assert "taking the checksum" not in caplog.text


def test_a_model_made_of_modules_gives_their_numbers(tmp_path: Path) -> None:
    model = large_model(tmp_path / "large")
    torch.manual_seed(0)
    protein = Esm2(Esm2Config(layers=1, hidden=1216, heads=19, feed_forward=4864))
    batch = pack(tokenize_proteins(SequenceArray.from_list([b"MKV"])), slice(0, 1))
    assert torch.equal(load_protein_encoder(model, "cpu", torch.float32).embed(batch), protein.embed(batch))
    assert model.purpose == "trial"


def test_the_command_imports_lists_and_verifies(
    tmp_path: Path, originals: Originals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    models = str(tmp_path / "models")
    assert run(monkeypatch, *originals.arguments(tmp_path / "models")) == 0
    made = capsys.readouterr().out
    assert str(tmp_path / "models" / "virnucpro-500") in made
    assert "500 bp" in made
    assert "not a published file known here" in made

    assert run(monkeypatch, "weights", "list", "--models-dir", models) == 0
    lines = capsys.readouterr().out.splitlines()
    [line] = [line for line in lines if line.startswith("virnucpro-500")]
    assert line.split()[1:3] == ["500", "bp"]
    assert "complete" in line
    [line] = [line for line in lines if line.startswith("virnucpro-300")]
    assert "virnucpro weights fetch virnucpro-300" in line

    assert run(monkeypatch, "weights", "verify", "--models-dir", models) == 0
    flip(tmp_path / "models" / "virnucpro-500" / "protein.safetensors", 5000)
    assert run(monkeypatch, "weights", "verify", "virnucpro-500", "--models-dir", models) == 3
    assert "protein.safetensors" in capsys.readouterr().err
    (tmp_path / "models" / "virnucpro-500" / "protein.safetensors").unlink()
    assert run(monkeypatch, "weights", "list", "--models-dir", models) == 0
    assert "protein.safetensors is missing" in capsys.readouterr().out


def test_the_command_refuses_a_hostile_classifier_with_exit_code_3(
    tmp_path: Path, originals: Originals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    canary = tmp_path / "canary"

    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, (f"touch {canary}",)

    torch.save(Payload(), originals.classifier)
    assert run(monkeypatch, *originals.arguments(tmp_path / "models")) == 3
    assert "posix.system" in capsys.readouterr().err
    assert not canary.exists()
    assert not (tmp_path / "models" / "virnucpro-500").exists()


def test_only_released_models_are_fetched(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "weights", "fetch", "esm3") == 5
    assert "virnucpro-500, virnucpro-300" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8])
def test_any_flipped_bit_changes_the_sum_of_bits(dtype: torch.dtype) -> None:
    tensor = (torch.randn(7, 33) * 50).to(dtype)
    before = bit_sum(tensor)
    assert bit_sum(tensor.t()) == bit_sum(tensor.t().contiguous())
    raw = tensor.view(torch.uint8).view(-1)
    for place in range(0, len(raw), 11):
        for bit in range(8):
            raw[place] ^= 1 << bit
            assert bit_sum(tensor) != before
            raw[place] ^= 1 << bit
    assert bit_sum(tensor) == before
    assert bit_sum(torch.empty(0, dtype=dtype)) == 0
