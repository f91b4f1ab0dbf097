"""The original's published results: read, and compared with what a model gives here."""

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import tiny
from virnucpro_kernels.cli.main import main
from virnucpro_kernels.files import sha256
from virnucpro_kernels.tools.against_original import read_original_results
from virnucpro_kernels.tools.frame_scores import ScoredFrames, score_frames
from virnucpro_kernels.weights.published import ORIGINAL_VECTORS
from virnucpro_kernels.weights.registry import Model

FRAMES = tiny.frames(6, distinct=6)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny.write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def exact(model: Model) -> ScoredFrames:
    return score_frames(model, FRAMES, torch.device("cpu"), "fp32")


@pytest.fixture
def published(tmp_path: Path, exact: ScoredFrames) -> Path:
    """Results of the tiny model in the files of the original, the proteins in another order."""
    vectors, folder = exact.vectors, tmp_path / "golden"
    for kind in ("nucleotide", "protein", "merged"):
        (folder / f"set_{kind}").mkdir(parents=True)
    for kind, sequences in (("nucleotide", FRAMES.nucleotides), ("protein", FRAMES.proteins)):
        records = zip(FRAMES.ids, sequences, strict=True)
        (folder / f"set_{kind}" / "output_1.fa").write_text("".join(f">{i}\n{s.decode()}\n" for i, s in records))
    data = [
        {"label": name, "mean_representation": vector.tolist()}
        for name, vector in zip(FRAMES.ids, vectors["nucleotide"], strict=True)
    ]
    torch.save({"nucleotide": FRAMES.ids, "data": data}, folder / "set_nucleotide" / "output_1_DNABERT_S.pt")
    torch.save(
        {"proteins": FRAMES.ids[::-1], "data": [torch.from_numpy(each.copy()) for each in vectors["protein"][::-1]]},
        folder / "set_protein" / "output_1_ESM.pt",
    )
    lines = [f"{name}\tvirus\t{1 - p}\t{p}\n" for name, p in zip(FRAMES.ids, exact.p_virus, strict=True)]
    (folder / "set_merged" / "prediction_results.txt").write_text(
        "Sequence_ID\tPrediction\tscore1\tscore2\n" + "".join(lines)
    )
    return folder


def verify(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[int, str, str]:
    command = ["virnucpro", "weights", "verify", str(model.directory), "--against-original", "--golden", str(folder)]
    monkeypatch.setattr(sys, "argv", [*command, "--device", "cpu", "--threads", "1", *options])
    with pytest.raises(SystemExit) as caught:
        main()
    captured = capsys.readouterr()
    return int(caught.value.code or 0), captured.out, captured.err


def test_the_same_model_gives_the_same(
    model: Model, published: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = verify(model, published, monkeypatch, capsys)
    assert code == 0, err
    assert "set: 6 frames on cpu in fp32" in out
    assert "nucleotide: cosine 1.000000000 at worst" in out
    assert out.count("label the same") == 6
    assert out.endswith("the same as the original's within the bounds\n")


@pytest.mark.parametrize("alphabet", ["nucleotide", "protein"])
def test_other_weights_are_noticed(
    alphabet: str,
    tmp_path: Path,
    published: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = tiny.write_model(tmp_path / "other", seed=7)
    code, _, err = verify(other, published, monkeypatch, capsys)
    assert code == 3
    assert f"set: {alphabet} vectors differ" in err


def test_another_score_alone_is_noticed(
    model: Model, published: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = published / "set_merged" / "prediction_results.txt"
    lines = table.read_text().splitlines()
    name, label, _, score = lines[2].split("\t")
    lines[2] = "\t".join((name, label, "0", str(float(score) + 0.01)))
    table.write_text("\n".join(lines) + "\n")
    code, out, err = verify(model, published, monkeypatch, capsys)
    assert code == 3
    assert "nucleotide: cosine 1.000000000 at worst" in out
    assert f"{name}: score2 is" in err
    assert "vectors differ" not in err


def test_files_of_other_frames_or_missing_ones_are_errors(
    model: Model, published: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fasta = published / "set_protein" / "output_1.fa"
    fasta.write_text(fasta.read_text().replace(FRAMES.ids[0], "another"))
    code, _, err = verify(model, published, monkeypatch, capsys)
    assert (code, "not the" in err) == (3, True)
    fasta.unlink()
    code, _, err = verify(model, published, monkeypatch, capsys)
    assert (code, "no results of the original" in err) == (5, True)


def rewritten(old: bytes, new: bytes) -> Callable[[Path], object]:
    """Return a function that changes a file in its first occurrence of `old`."""

    def damage(path: Path) -> None:
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new, 1))

    return damage


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def with_data(data: object) -> Callable[[Path], object]:
    """Return a function that saves a file of the original anew with these vectors."""
    return lambda path: torch.save(torch.load(path, weights_only=True) | {"data": data}, path)


DNA, ESM, TABLE = "set_nucleotide/output_1.fa", "set_protein/output_1_ESM.pt", "set_merged/prediction_results.txt"
BERT = "set_nucleotide/output_1_DNABERT_S.pt"
#: Files of the original and ways in which each is damaged.
DAMAGE: list[tuple[str, Callable[[Path], object]]] = [
    (DNA, rewritten(b">contig", b">cont\xe8g")),
    (DNA, rewritten(b">", b">>")),
    (DNA, rewritten(b"A\n", b"\xe8\n")),
    (DNA, rewritten(FRAMES.nucleotides[0], b"")),
    (DNA, empty),
    ("set_protein/output_1.fa", rewritten(b">", b"<")),
    ("set_protein/output_1.fa", rewritten(FRAMES.proteins[0], b"J" + FRAMES.proteins[0])),
    *((path, damage) for path in (BERT, ESM) for damage in (cut, empty)),
    (BERT, with_data([{"label": name, "mean_representation": 10**400} for name in FRAMES.ids])),
    (BERT, with_data([{} for _ in FRAMES.ids])),
    (ESM, with_data(torch.zeros(3))),
    (ESM, lambda path: torch.save([], path)),
    (ESM, with_data([torch.zeros(3)] * 5 + [torch.full((3,), torch.nan)])),
    (TABLE, rewritten(b"score2", b"scorf2")),
    (TABLE, rewritten(b"Prediction", b"Predictjon")),
    (TABLE, rewritten(b"Sequence_ID", b"Sequence_\xe8D")),
    (TABLE, rewritten(b"\t0.", b"\t0x")),
    (TABLE, lambda path: path.write_text(f"{path.read_text()}one\tvirus\t0.1\t0.9\tmore\n")),
    (TABLE, lambda path: path.write_text(re.sub(r"\S+$", "nan", path.read_text()))),
    (TABLE, lambda path: path.write_text(re.sub(r"\S+$", "7.5", path.read_text()))),
    (TABLE, cut),
    (TABLE, empty),
]


@pytest.mark.parametrize(("name", "damage"), DAMAGE)
def test_a_damaged_file_is_named_with_what_to_do(
    name: str,
    damage: Callable[[Path], object],
    model: Model,
    published: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(published / name)
    code, _, err = verify(model, published, monkeypatch, capsys)
    assert code == 3
    assert err.startswith(f"error: {published / name}")
    assert "get the file again" in err


def test_a_further_set_of_other_encoders_is_refused(
    model: Model, published: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in sorted(published.iterdir()):
        shutil.copytree(folder, published / folder.name.replace("set", "further"))
    with_data([torch.zeros(3) for _ in FRAMES.ids])(published / "set_protein" / "output_1_ESM.pt")
    code, _, err = verify(model, published, monkeypatch, capsys)
    assert (code, "this comparison is for models with the released encoders" in err) == (5, True)


def test_without_a_connection_the_folder_of_another_machine_is_named(
    model: Model, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setattr(sys, "argv", ["virnucpro", "weights", "verify", str(model.directory), "--against-original"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert "or get the files on another machine and name their folder with --golden" in said
    assert "--source" not in said, "this command has no such option"


def test_the_published_files_are_read(
    golden: Path, model: Model, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = {each.name: each for each in read_original_results(golden)}
    assert list(sets) == ["test_fixed_500bp", "test_with_orfs"]
    fixed = sets["test_fixed_500bp"]
    assert fixed.frames.ids[1] == "fixed_500bp_seq1_chunk_1R3"
    assert fixed.frames.proteins[1].startswith(b"FQFRNRFFRRFNRF")
    assert (fixed.vectors["nucleotide"].shape, fixed.vectors["protein"].shape) == ((4, 768), (4, 2560))
    np.testing.assert_array_equal(fixed.p_virus, [0.9979233, 0.7818229, 0.9199237, 0.7729711])
    merged = torch.load(golden / "test_fixed_500bp_merged" / "output_1_merged.pt", weights_only=True)
    order = [merged["ids"].index(name) for name in fixed.frames.ids]
    both = np.hstack([fixed.vectors["nucleotide"], fixed.vectors["protein"]])
    np.testing.assert_array_equal(both, merged["data"].numpy()[order])
    code, _, err = verify(model, golden, monkeypatch, capsys)
    assert (code, "this comparison is for models with the released encoders" in err) == (5, True)


def test_the_pinned_files_are_those_of_the_folder(golden: Path) -> None:
    for file in ORIGINAL_VECTORS:
        assert file.digest == f"sha256:{sha256(golden.joinpath(*file.url.split('/')[-2:]))}"
