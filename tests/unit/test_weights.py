"""Model directories: made whole or not at all, loaded as what was imported, damage noticed."""

import hashlib
import http.server
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from published_files import classifier, fair_esm, write_dnabert, write_fair_esm, write_pickled_classifier

from virnucpro_kernels.cli import main
from virnucpro_kernels.errors import DamagedFileError, UsageError, VirnucproError
from virnucpro_kernels.fetch import fetch_model
from virnucpro_kernels.import_model import import_model
from virnucpro_kernels.model_directory import (
    Description,
    NewClassifier,
    NewEncoder,
    Origin,
    tensors_of,
    write_model_directory,
)
from virnucpro_kernels.models.classifier import Classifier, ClassifierConfig
from virnucpro_kernels.models.dnabert_s import DnabertConfig, DnabertS
from virnucpro_kernels.models.esm2 import Esm2, Esm2Config
from virnucpro_kernels.packing import pack
from virnucpro_kernels.published import PublishedFile, Recipe, digests, joint_sha256
from virnucpro_kernels.registry import Model, find_model, read_model
from virnucpro_kernels.sequences import SequenceArray
from virnucpro_kernels.tokenizers import tokenize_proteins
from virnucpro_kernels.weights import (
    load_classifier,
    load_dna_tokenizer,
    load_nucleotide_encoder,
    load_protein_encoder,
    verify,
)

DNABERT = DnabertConfig(layers=2, hidden=48, heads=12, feed_forward=64, vocabulary=100)
CLASSIFIER = ClassifierConfig(dimension=48 + 64, hidden=16)


@dataclass
class Originals:
    """Original files of a small model."""

    protein: Path
    nucleotide: Path
    classifier: Path

    def imported(self, models_dir: Path, name: str = "virnucpro-500", window_length: int = 500) -> Model:
        return import_model(
            name,
            window_length,
            protein=self.protein,
            nucleotide=self.nucleotide,
            classifier=self.classifier,
            models_dir=models_dir,
        )

    def arguments(self, models_dir: Path, name: str = "virnucpro-500", window_length: int = 500) -> list[str]:
        options = {
            "--name": name,
            "--window-length": window_length,
            "--protein": self.protein,
            "--nucleotide": self.nucleotide,
            "--classifier": self.classifier,
            "--models-dir": models_dir,
        }
        return ["weights", "import", *(str(word) for option in options.items() for word in option)]


@pytest.fixture
def originals(tmp_path: Path) -> Originals:
    folder = tmp_path / "originals"
    nucleotide = write_dnabert(folder / "DNABERT-S", DNABERT)
    protein = write_fair_esm(folder / "esm2_t2_tiny.pt", fair_esm(2, 64, 4))
    head = write_pickled_classifier(folder / "500_model.pth", classifier(CLASSIFIER))
    return Originals(protein, nucleotide, head)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["virnucpro", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def files_of(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


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
    pooled = torch.stack([expected[0, 1:7].mean(0), expected[1, 1:6].mean(0)])
    torch.testing.assert_close(encoder.embed(batch), pooled, rtol=1e-5, atol=1e-5)

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


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "pytorch_model.bin"])
def test_a_missing_original_is_named(tmp_path: Path, originals: Originals, missing: str) -> None:
    (originals.nucleotide / missing).unlink()
    with pytest.raises(UsageError, match=r"missing|no model"):
        originals.imported(tmp_path / "models")


def test_a_killed_import_leaves_nothing_that_looks_complete(tmp_path: Path, originals: Originals) -> None:
    """Killed at some moments: either there is no model, or it is whole; and the next import succeeds."""
    write_fair_esm(originals.protein, fair_esm(4, 640, 20))
    write_pickled_classifier(originals.classifier, classifier(ClassifierConfig(48 + 640, 16)))
    models = tmp_path / "models"
    program = f"""
import sys
print('ready', flush=True)
from pathlib import Path
from virnucpro_kernels.import_model import import_model
print('ready', flush=True)
import_model('m', 500, protein=Path({str(originals.protein)!r}), nucleotide=Path({str(originals.nucleotide)!r}),
             classifier=Path({str(originals.classifier)!r}), models_dir=Path({str(models)!r}))
"""
    outcomes = set()
    for wait in (0.05, 0.25):
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.readline()
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        try:
            model = find_model("m", models)
        except UsageError:
            outcomes.add("absent")
        else:
            outcomes.add("whole")
            assert verify(model) == []
            shutil.rmtree(model.directory)
    assert "absent" in outcomes
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


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


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
        Description("large", 300, "trial", "made in a test", "none", ""),
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
    load_protein_encoder(model, "cpu", torch.float16)  # what the record cannot see …
    assert any("protein" in problem for problem in verify(model))  # … verify does


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


@dataclass
class Server:
    """Serves a folder on this machine; `cut` names files of which only half is sent."""

    url: str
    requested: list[str]
    cut: set[str]


@pytest.fixture
def server(originals: Originals) -> Iterator[Server]:
    facts = Server("", [], set())

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(originals.protein.parent))  # type: ignore[arg-type]

        def do_GET(self) -> None:
            facts.requested.append(Path(self.path).name)
            if Path(self.path).name not in facts.cut:
                return super().do_GET()
            content = Path(self.translate_path(self.path)).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            return None

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        facts.url = f"http://127.0.0.1:{listening.server_address[1]}"
        yield facts
        listening.shutdown()
        thread.join()


@pytest.fixture
def recipe(originals: Originals, server: Server) -> Recipe:
    def published(path: Path, kind: str, window_length: int = 0) -> PublishedFile:
        sha256, git = digests(path)
        relative = path.relative_to(originals.protein.parent)
        digest = f"sha256:{sha256}" if kind == "sha256" else f"git:{git}"
        return PublishedFile(f"{server.url}/{relative}", digest, path.name, "MIT", 0.1, "", window_length)

    names = ("pytorch_model.bin", "config.json", "tokenizer.json")
    return Recipe(
        "virnucpro-500",
        500,
        published(originals.protein, "sha256"),
        tuple(published(originals.nucleotide / name, "sha256") for name in names),
        published(originals.classifier, "git", 500),
    )


def test_a_fetched_model_is_complete_and_its_downloads_are_gone(tmp_path: Path, recipe: Recipe) -> None:
    model = fetch_model(recipe, tmp_path / "models")
    assert verify(model) == []
    assert files_of(tmp_path / "models") == ["virnucpro-500"]
    assert model.nucleotide.source_sha256 == recipe.nucleotide_sha256
    assert model.protein.source_sha256 == recipe.protein_sha256


def test_what_is_there_is_not_downloaded_again(tmp_path: Path, recipe: Recipe, server: Server) -> None:
    first = fetch_model(recipe, tmp_path)
    server.requested.clear()
    second = fetch_model(Recipe("virnucpro-300", 300, recipe.protein, recipe.nucleotide, recipe.classifier), tmp_path)
    assert server.requested == ["500_model.pth"]
    assert second.path(second.protein).samefile(first.path(first.protein))


def test_a_cut_off_download_is_refused_and_the_next_try_goes_on(tmp_path: Path, recipe: Recipe, server: Server) -> None:
    server.cut.add("500_model.pth")
    with pytest.raises(VirnucproError, match=r"500_model\.pth"):
        fetch_model(recipe, tmp_path / "models")
    assert not (tmp_path / "models" / "virnucpro-500").exists()
    assert not list((tmp_path / "models").rglob("500_model.pth"))
    server.cut.clear()
    server.requested.clear()
    assert verify(fetch_model(recipe, tmp_path / "models")) == []
    assert server.requested == ["500_model.pth"]


def test_another_file_than_the_published_one_is_refused(tmp_path: Path, originals: Originals, recipe: Recipe) -> None:
    for path in (originals.protein, originals.classifier):
        flip(path, 2000)
        with pytest.raises(DamagedFileError, match="not the published file"):
            fetch_model(recipe, tmp_path / "models")
        assert not list((tmp_path / "models").rglob(path.name))
        flip(path, 2000)


def test_no_connection_is_a_clear_failure(tmp_path: Path, recipe: Recipe) -> None:
    gone = PublishedFile("http://127.0.0.1:9/x.pt", "sha256:0", "x", "MIT", 0.1)
    with pytest.raises(VirnucproError, match=r"cannot download http://127\.0\.0\.1:9/x\.pt"):
        fetch_model(Recipe("m", 500, gone, recipe.nucleotide, recipe.classifier), tmp_path)


def test_only_released_models_are_fetched(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "weights", "fetch", "esm3") == 5
    assert "virnucpro-500, virnucpro-300" in capsys.readouterr().err


def test_digests_are_those_of_sha256sum_and_git(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(np.random.default_rng(0).bytes(5_000_000))
    for name, ours in zip(("sha256sum", "git hash-object"), digests(path), strict=True):
        done = subprocess.run([*name.split(), str(path)], capture_output=True, text=True, check=True)
        assert done.stdout.split()[0] == ours
    (tmp_path / "b").write_bytes(b"b")
    listing = subprocess.run(["sha256sum", "a", "b"], cwd=tmp_path, capture_output=True, check=True).stdout
    assert joint_sha256({"b": digests(tmp_path / "b")[0], "a": digests(path)[0]}) == hashlib.sha256(listing).hexdigest()
    assert joint_sha256({"a": digests(path)[0]}) == digests(path)[0]
