"""Fetching a released model, from a server on this machine."""

import hashlib
import http.server
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.original_models import Originals, files_of, flip
from virnucpro_kernels.errors import DamagedFileError, VirnucproError
from virnucpro_kernels.weights.fetch import fetch_model
from virnucpro_kernels.weights.load import verify
from virnucpro_kernels.weights.published import PublishedFile, Recipe, digests, joint_sha256


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
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(originals.protein.parent))

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
