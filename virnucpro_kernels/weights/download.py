"""One file over HTTP: begun where an earlier attempt ended, tried again a few times, kept only with its checksum."""

import hashlib
import logging
import re
import ssl
import time
from pathlib import Path

import requests
from requests.exceptions import ChunkedEncodingError, HTTPError, ProxyError, RequestException, Timeout

from virnucpro_kernels.errors import DamagedFileError, VirnucproError
from virnucpro_kernels.weights.meter import megabytes, meter
from virnucpro_kernels.weights.published import PublishedFile, digests

_log = logging.getLogger(__name__)
_CONNECT_SECONDS = 10.0
#: Longest time in which nothing arrives, seconds.
_STALL_SECONDS = 60.0
#: Attempts in a row that may fail; one that brought this many bytes does not count.
_ATTEMPTS = 5
_WORTHWHILE_BYTES = 16 << 20
#: Pause after the first failed attempt, seconds; each later one is twice as long.
_PAUSE_SECONDS = 1.0
#: Bytes of a block. What has arrived of a block is lost when the connection breaks.
_BLOCK = 1 << 16
#: Answers after which it makes sense to ask again: the server is busy or being restarted.
_TEMPORARY = frozenset({408, 429, 500, 502, 503, 504})
_UNKNOWN = -1
_ADVICE = "If this machine has no way to that address, name a proxy (in HTTPS_PROXY),"
_IMPORT = (
    "or a mirror (--source URL), or get the files on another machine and import them here"
    " (`virnucpro weights import --help`)"
)


class _WrongPartError(RequestException):
    """The server sent another part of the file than the one that was asked for."""


def download(file: PublishedFile, address: str, path: Path, *, instead: str = _IMPORT) -> None:
    """Download a published file from `address` to `path`, which appears when the file is whole and the right one.

    What arrives is kept beside `path` in a file that ends with `.part`; the next call goes on from there. Proxies are
    those of the environment (`HTTPS_PROXY` and the like), as requests takes them.

    Args:
        file: File, with its digest.
        address: Address, its publisher's or that of a mirror.
        path: Path of the new file.
        instead: What else a user without a way to the address can do, for the messages; it begins with "or".

    Raises:
        DamagedFileError: there is another file at the address; nothing of it is kept.
        VirnucproError: the file cannot be downloaded.
        OSError: the file cannot be written.
    """
    partial = path.with_name(f"{path.name}.part")
    went_on = partial.exists()
    _log.info("downloading %s (%.1f MB)", address, file.megabytes)
    try:
        _complete(address, partial)
        found = digest_like(file.digest, partial)
        if found != file.digest and went_on:
            _log.warning("%s: what was there before is of another file; beginning again", partial)
            partial.unlink()
            _complete(address, partial)
            found = digest_like(file.digest, partial)
        if found != file.digest:
            partial.unlink()
            raise DamagedFileError(
                f"the file {file.name} from {address} is not the published one (expected {file.digest}, found {found})"
                f" and was removed; try again, {instead}"
            )
        partial.replace(path)
    except RequestException as error:
        kept = f" {megabytes(_size(partial))} are kept, and the same command goes on from there." * bool(_size(partial))
        raise VirnucproError(f"cannot download {address}: {_reason(error)}.{kept} {_ADVICE} {instead}") from error


def download_text(address: str, *, instead: str) -> str:
    """Return the text at `address`, of which nothing is kept on the disk; `instead` as for `download`.

    Raises:
        VirnucproError: it cannot be downloaded.
    """
    try:
        response = requests.get(address, timeout=(_CONNECT_SECONDS, _STALL_SECONDS))
        response.raise_for_status()
    except RequestException as error:
        raise VirnucproError(f"cannot download {address}: {_reason(error)}. {_ADVICE} {instead}") from error
    return response.text


def _complete(address: str, partial: Path) -> None:
    """Append to `partial` until it is whole; attempts that fail for a passing reason are repeated.

    Raises:
        RequestException: too many attempts in a row failed, or one failed for a reason that will not pass.
    """
    failed = 0
    while True:
        before = _size(partial)
        try:
            return _attempt(address, partial)
        except RequestException as error:
            failed = 0 if _size(partial) - before >= _WORTHWHILE_BYTES else failed + 1
            if failed == _ATTEMPTS or not _may_pass(error):
                raise
            pause = _PAUSE_SECONDS * 2 ** max(failed - 1, 0)
            kept = megabytes(_size(partial))
            _log.warning("%s: %s; trying again in %.0f s (%s are kept)", address, _reason(error), pause, kept)
            time.sleep(pause)


def _attempt(address: str, partial: Path) -> None:
    have = _size(partial)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(address, headers=headers, stream=True, timeout=(_CONNECT_SECONDS, _STALL_SECONDS)) as response:
        if have and response.status_code == requests.codes.requested_range_not_satisfiable:
            return  # nothing comes after what is there: whole, or of another file, as the checksum will say
        response.raise_for_status()
        start, total = _extent(response)
        if start not in (0, have):
            partial.unlink(missing_ok=True)  # the next attempt asks for the whole file
            raise _WrongPartError("the server sent another part of the file than the one that was asked for")
        if have and not start:
            _log.info("%s: the server sends whole files only; beginning again", address)
        with partial.open("ab" if start else "wb") as file, meter(partial.stem, start, total) as advance:
            for block in response.iter_content(_BLOCK):
                file.write(block)
                advance(len(block))


def _extent(response: requests.Response) -> tuple[int, int | None]:
    """Return the place of the answer's first byte in the file, and the file's size, as far as the server says them."""
    if response.status_code == requests.codes.partial_content:
        place = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if place is None:
            return _UNKNOWN, None
        return int(place[1]), None if place[2] == "*" else int(place[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def digest_like(digest: str, path: Path) -> str:
    """Return the digest of a file, of the kind of another one."""
    if digest.startswith("md5:"):
        with path.open("rb") as file:
            return f"md5:{hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()}"
    sha256, git = digests(path)
    return f"git:{git}" if digest.startswith("git:") else f"sha256:{sha256}"


def _may_pass(error: RequestException) -> bool:
    if error.response is not None:
        return error.response.status_code in _TEMPORARY
    passing = isinstance(error, requests.ConnectionError | Timeout | ChunkedEncodingError | _WrongPartError)
    return passing and not isinstance(_cause(error), ssl.SSLCertVerificationError)


def _reason(error: RequestException) -> str:
    """Return in words why a request failed; what the libraries say is long and full of their own names."""
    cause = _cause(error)
    if isinstance(error, _WrongPartError):
        return str(error)
    if isinstance(error, HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the server's certificate is not trusted here ({cause.verify_message})"
    if isinstance(error, Timeout) or isinstance(cause, TimeoutError):
        return "the server did not answer, or stopped sending, for too long"
    if isinstance(error, ProxyError):
        return f"the proxy gave no connection ({cause})"
    if isinstance(error, ChunkedEncodingError):
        return "the connection broke off"
    return f"there is no connection ({cause})"


def _cause(error: BaseException) -> BaseException:
    """Return the first of the errors that led to this one."""
    while before := error.__cause__ or error.__context__:
        error = before
    return error
