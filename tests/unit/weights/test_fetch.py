"""Fetching a released model, from a server on this machine."""

import hashlib
import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.helpers.file_server import FileServer, serve
from tests.helpers.original_models import Originals, files_of, flip
from virnucpro_kernels.cli.main import main
from virnucpro_kernels.errors import DamagedFileError, UsageError, VirnucproError
from virnucpro_kernels.files import take_lock
from virnucpro_kernels.weights.fetch import fetch_model
from virnucpro_kernels.weights.load import verify
from virnucpro_kernels.weights.published import PublishedFile, Recipe, digests, joint_sha256


@pytest.fixture
def server(originals: Originals, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setattr("virnucpro_kernels.weights.download._PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve(originals.protein.parent) as facts:
        yield facts


@pytest.fixture
def recipe(originals: Originals, server: FileServer) -> Recipe:
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


def test_what_is_there_is_not_downloaded_again(tmp_path: Path, recipe: Recipe, server: FileServer) -> None:
    first = fetch_model(recipe, tmp_path)
    server.requests.clear()
    second = fetch_model(Recipe("virnucpro-300", 300, recipe.protein, recipe.nucleotide, recipe.classifier), tmp_path)
    assert server.requested == ["500_model.pth"]
    assert second.path(second.protein).samefile(first.path(first.protein))


def test_an_interrupted_fetch_goes_on_with_what_is_there(
    tmp_path: Path, originals: Originals, recipe: Recipe, server: FileServer
) -> None:
    server.faults["esm2_t2_tiny.pt"] = ["cut", *["503"] * 4]
    with pytest.raises(VirnucproError, match=r"esm2_t2_tiny\.pt.* MB are kept"):
        fetch_model(recipe, tmp_path / "models")
    assert not (tmp_path / "models" / "virnucpro-500").exists()
    server.requests.clear()
    assert verify(fetch_model(recipe, tmp_path / "models")) == []
    [(name, asked)] = server.requests
    assert name == "esm2_t2_tiny.pt"
    assert asked > "bytes="


def test_another_file_than_the_published_one_is_refused(tmp_path: Path, originals: Originals, recipe: Recipe) -> None:
    for path in (originals.classifier, originals.protein):
        flip(path, 2000)
        with pytest.raises(DamagedFileError, match=rf"{path.name} from http.* is not the published one"):
            fetch_model(recipe, tmp_path / "models")
        assert not list((tmp_path / "models").rglob(f"{path.name}*"))
        flip(path, 2000)


def test_a_mirror_serves_the_files_by_their_names(
    tmp_path: Path, originals: Originals, recipe: Recipe, server: FileServer
) -> None:
    """And: what --keep-downloads leaves is such a folder."""
    fetch_model(recipe, tmp_path / "models", keep_downloads=True)
    server.requests.clear()
    with serve(tmp_path / "models" / ".downloads") as mirror:
        model = fetch_model(recipe, tmp_path / "others", mirror=f"{mirror.url}/")
    assert verify(model) == []
    assert len(mirror.requests) == 5
    assert not server.requests
    for wrong in ("mirror.org/files", "ftp://mirror.org", "https://"):
        with pytest.raises(UsageError, match="begins with https://"):
            fetch_model(recipe, tmp_path / "third", mirror=wrong)


def test_the_disk_space_is_told_before_anything_is_downloaded(
    tmp_path: Path,
    recipe: Recipe,
    server: FileServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    large = replace(recipe, protein=replace(recipe.protein, megabytes=5000))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=9_000_000_000))
    with pytest.raises(VirnucproError, match=r"models needs 10,001 MB of disk, but 9,000 MB are free.*--models-dir"):
        fetch_model(large, tmp_path / "models")
    assert not server.requests
    (tmp_path / "models" / ".downloads" / "esm2_t2_tiny.pt.part").write_bytes(b"")
    os.truncate(tmp_path / "models" / ".downloads" / "esm2_t2_tiny.pt.part", 2_000_000_000)
    monkeypatch.setattr("virnucpro_kernels.weights.fetch.download", lambda *_: pytest.exit("not to be reached"))
    caplog.clear()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=8_000_000_000))
    with pytest.raises(VirnucproError, match="needs 8,001 MB"):
        fetch_model(large, tmp_path / "models")
    [told] = caplog.messages
    assert told.startswith("5 files, 3000 MB, are to be downloaded; with the model, ")


def test_two_fetches_at_once_do_not_mix(tmp_path: Path, recipe: Recipe, server: FileServer) -> None:
    lock = take_lock(tmp_path / ".downloads" / ".lock", if_taken=lambda: None)
    with ThreadPoolExecutor() as pool:
        fetching = pool.submit(fetch_model, recipe, tmp_path)
        with pytest.raises(TimeoutError):
            fetching.result(timeout=0.3)
        assert not server.requests
        os.close(lock)
        assert verify(fetching.result(timeout=60)) == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VirnucproError, match=r"cannot be written \(Not a directory\); ask the owner"):
        fetch_model(recipe, tmp_path / "file" / "models")


def test_no_connection_is_one_line_for_the_user(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--models-dir", str(tmp_path / "models"), "--source", "http://127.0.0.1:9/files"]
    monkeypatch.setattr("sys.argv", ["virnucpro", "weights", "fetch", "virnucpro-500", *options])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**12))
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: cannot download http://127.0.0.1:9/files/500_model.pth: there is no connection (")


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
