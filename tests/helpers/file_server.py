"""A server of files on this machine that fails as servers on the network do, and serves as a proxy too."""

import http.server
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


@dataclass
class FileServer:
    """The server, seen from a test.

    Attributes:
        url: Address of the folder that it serves.
        requests: Requests so far: the name of the file, or the whole address if the server was used as a proxy, and
            the range asked for.
        faults: Faults of the next answers by the name of the file, one an answer: `cut` (half of it is sent), `stall`
            (half of it, then nothing), `ignore` (the whole file, whatever range was asked for), `shift` (a part that
            was not asked for), `move` (a redirection), or the code of an HTTP error.
    """

    url: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)
    faults: dict[str, list[str]] = field(default_factory=dict)

    @property
    def requested(self) -> list[str]:
        """Names of the files asked for."""
        return [name for name, _ in self.requests]


@contextmanager
def serve(folder: Path) -> Iterator[FileServer]:
    """Serve a folder for the time of the block."""
    facts, over = FileServer(), threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            proxied, path = self.path.startswith("http"), urlsplit(self.path).path
            name, asked = Path(path).name, self.headers.get("Range", "")
            facts.requests.append((self.path if proxied else name, asked))
            faults = facts.faults.get(name)
            fault = faults.pop(0) if faults else ""
            if fault.isdigit():
                return self.send_error(int(fault))
            if fault == "move":
                self.send_response(302)
                self.send_header("Location", f"/moved{path}")
                return self.end_headers()
            return self.send_part((folder / path.removeprefix("/moved").lstrip("/")), asked, fault)

        def send_part(self, file: Path, asked: str, fault: str) -> None:
            if not file.is_file():
                return self.send_error(404)
            content, start = file.read_bytes(), 0
            if asked and fault != "ignore":
                start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) - (fault == "shift")  # type: ignore[index]
                if start >= len(content):
                    return self.send_error(416)
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            rest = content[start:]
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            self.wfile.write(rest[: len(rest) // 2] if fault in {"cut", "stall"} else rest)
            if fault == "stall":
                self.wfile.flush()
                over.wait(30)
            return None

        def do_CONNECT(self) -> None:
            facts.requests.append((self.path, ""))
            self.send_error(403)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
        thread.start()
        facts.url = f"http://127.0.0.1:{listening.server_address[1]}"
        try:
            yield facts
        finally:
            over.set()
            listening.shutdown()
            thread.join()
