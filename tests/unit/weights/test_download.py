"""A file over HTTP, from a server on this machine that cuts, stalls, moves, refuses and lies; proxies; certificates."""

import http.server
import logging
import re
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.clock import Clock
from tests.helpers.file_server import FileServer, serve
from virnucpro_kernels.errors import DamagedFileError, VirnucproError
from virnucpro_kernels.weights import download as module
from virnucpro_kernels.weights.download import download
from virnucpro_kernels.weights.meter import Lines, meter
from virnucpro_kernels.weights.published import PublishedFile, digests

CONTENT = np.random.default_rng(0).bytes(600_000)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits, and no proxy but that of the test."""
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(module, "_STALL_SECONDS", 0.5)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "data.bin").write_bytes(CONTENT)
    with serve(tmp_path / "served") as facts:
        yield facts


@pytest.fixture
def published(tmp_path: Path, server: FileServer) -> PublishedFile:
    sha256, _ = digests(tmp_path / "served" / "data.bin")
    return PublishedFile(f"{server.url}/data.bin", f"sha256:{sha256}", "data", "MIT", 0.6)


def fetched(published: PublishedFile, folder: Path, address: str = "") -> bytes:
    """The file after its download; nothing else lies beside it."""
    folder.mkdir(exist_ok=True)
    download(published, address or published.url, folder / "data.bin")
    assert [path.name for path in folder.iterdir()] == ["data.bin"]
    return (folder / "data.bin").read_bytes()


@pytest.mark.parametrize(("fault", "told"), [("cut", "broke off"), ("stall", "stopped sending")])
def test_an_interrupted_download_goes_on_inside_the_file(
    tmp_path: Path,
    published: PublishedFile,
    server: FileServer,
    fault: str,
    told: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.faults["data.bin"] = [fault, fault]
    assert fetched(published, tmp_path / "out") == CONTENT
    first, second, third = (int(asked[len("bytes=") : -1] or 0) for _, asked in server.requests)
    assert first == 0
    assert 200_000 < second < third < len(CONTENT)
    assert re.search(f"{told}.*; trying again in .* MB are kept", caplog.text)


def test_the_next_command_goes_on_too(tmp_path: Path, published: PublishedFile, server: FileServer) -> None:
    server.faults["data.bin"] = ["cut", *["503"] * 4]
    with pytest.raises(VirnucproError, match=r"503 .*0\.3 MB are kept, and the same command goes on from there"):
        fetched(published, tmp_path / "out")
    assert not (tmp_path / "out" / "data.bin").exists()
    server.requests.clear()
    assert fetched(published, tmp_path / "out") == CONTENT
    [(_, asked)] = server.requests
    assert asked > "bytes=2"


@pytest.mark.parametrize(("fault", "requests"), [("ignore", 2), ("shift", 3)])
def test_a_server_that_does_not_resume_is_asked_for_the_whole(
    tmp_path: Path, published: PublishedFile, server: FileServer, fault: str, requests: int
) -> None:
    server.faults["data.bin"] = ["cut", fault]
    assert fetched(published, tmp_path / "out") == CONTENT
    assert len(server.requests) == requests


def test_a_redirection_is_followed_in_the_middle_too(
    tmp_path: Path, published: PublishedFile, server: FileServer
) -> None:
    server.faults["data.bin"] = ["move", "cut", "move"]
    assert fetched(published, tmp_path / "out") == CONTENT
    assert server.requests[-1][1].startswith("bytes=2")


@pytest.mark.parametrize(("code", "requests"), [("404", 1), ("403", 1), ("503", 5), ("429", 5)])
def test_only_an_error_that_may_pass_is_tried_again_and_not_for_ever(
    tmp_path: Path, published: PublishedFile, server: FileServer, code: str, requests: int
) -> None:
    server.faults["data.bin"] = [code] * 10
    with pytest.raises(VirnucproError, match=rf"cannot download {server.url}/data\.bin: the server answered {code} "):
        fetched(published, tmp_path / "out")
    assert len(server.requests) == requests


def test_wrong_bytes_are_refused_and_not_kept(tmp_path: Path, published: PublishedFile, server: FileServer) -> None:
    (tmp_path / "served" / "data.bin").write_bytes(b"<html>Please log in</html>")
    found, _ = digests(tmp_path / "served" / "data.bin")
    with pytest.raises(DamagedFileError) as caught:
        fetched(published, tmp_path / "out")
    for part in ("data.bin", published.url, f"expected {published.digest}", f"found sha256:{found}", "--source URL"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "out").iterdir())
    assert len(server.requests) == 1


def test_a_part_of_another_file_does_not_spoil_the_right_one(
    tmp_path: Path, published: PublishedFile, server: FileServer
) -> None:
    (tmp_path / "out").mkdir()
    for left in (b"another" * 10_000, CONTENT + b"more"):
        (tmp_path / "out" / "data.bin.part").write_bytes(left)
        server.requests.clear()
        assert fetched(published, tmp_path / "out") == CONTENT
        assert server.requests[-1] == ("data.bin", "")
        (tmp_path / "out" / "data.bin").unlink()


def test_a_whole_part_is_not_downloaded_again(tmp_path: Path, published: PublishedFile, server: FileServer) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "data.bin.part").write_bytes(CONTENT)
    assert fetched(published, tmp_path / "out") == CONTENT
    assert server.requests == [("data.bin", f"bytes={len(CONTENT)}-")]


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/data.bin", "http://nowhere.invalid/data.bin"])
def test_without_a_connection_one_sentence_says_what_to_do(
    tmp_path: Path, published: PublishedFile, address: str
) -> None:
    with pytest.raises(VirnucproError) as caught:
        fetched(published, tmp_path / "out", address)
    message = str(caught.value)
    assert message.startswith(f"cannot download {address}: there is no connection (")
    for part in ("HTTPS_PROXY", "--source URL", "on another machine", "`virnucpro weights import --help`"):
        assert part in message
    assert "\n" not in message
    assert "HTTPConnection" not in message


def test_the_proxy_of_the_environment_is_used(
    tmp_path: Path, published: PublishedFile, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("HTTPS_PROXY", server.url)
    assert fetched(published, tmp_path / "out", "http://publisher.invalid/data.bin") == CONTENT
    assert server.requested == ["http://publisher.invalid/data.bin"]
    with pytest.raises(VirnucproError, match=r"the proxy gave no connection \(.*403"):
        fetched(published, tmp_path / "out", "https://publisher.invalid/data.bin")
    assert server.requested[1] == "publisher.invalid:443"
    monkeypatch.setenv("NO_PROXY", "publisher.invalid")
    with pytest.raises(VirnucproError, match="there is no connection"):
        fetched(published, tmp_path / "out", "http://publisher.invalid/data.bin")


def test_a_certificate_that_is_not_trusted_is_told_at_once(
    tmp_path: Path, published: PublishedFile, caplog: pytest.LogCaptureFixture
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout", key, "-out", certificate)
    subprocess.run([word for part in made for word in str(part).split()], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as listening:
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
        thread.start()
        address = f"https://localhost:{listening.server_address[1]}/data.bin"
        with pytest.raises(VirnucproError, match="certificate is not trusted here"):
            fetched(published, tmp_path / "out", address)
        listening.shutdown()
        thread.join()
    assert "trying again" not in caplog.text


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, published: PublishedFile) -> None:
    (tmp_path / "out" / "data.bin.part").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        download(published, published.url, tmp_path / "out" / "data.bin")


def test_progress_comes_with_the_time_left(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    lines = Lines("a.pt", 1_000_000_000, 5_000_000_000, clock)
    for _ in range(100):
        clock.now += 1
        lines.advance(10_000_000)
    assert caplog.messages == [
        "a.pt: 1,300.0 MB of 5,000.0 MB, about 6 min left",
        "a.pt: 1,600.0 MB of 5,000.0 MB, about 6 min left",
        "a.pt: 1,900.0 MB of 5,000.0 MB, about 5 min left",
    ]
    caplog.clear()
    lines = Lines("a.pt", 0, None, clock)
    clock.now += 40
    lines.advance(80_000_000)
    assert caplog.messages == ["a.pt: 80.0 MB have arrived, 2.0 MB a second"]


def test_a_terminal_shows_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with meter("a.pt", 500_000, 1_000_000) as advance:
        advance(250_000)
    shown = capsys.readouterr().err
    assert "a.pt" in shown
    assert "/1.0 MB" in shown
