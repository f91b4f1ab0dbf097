"""The decompressed bytes of an input file, as plain ASCII; damaged data are an error, never the end of the file."""

import io
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from xopen import xopen

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import atomic_path
from virnucpro_kernels.sequences.sniff import FIRST_BYTES, compression_of

_BUFFER_BYTES = 1 << 20

#: The empty block that ends every file written by bgzip and every BAM file.
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")

#: Mark before two hexadecimal digits, which replace a byte that is not ASCII.
_MARK = b"\x1a"
_TO_ESCAPE = re.compile(rb"[\x1a\x80-\xff]")
_ESCAPED = re.compile(rb"\x1a([0-9a-f]{2})")


class DamagedInputError(Exception):
    """The bytes of an input file end too early or cannot be decompressed."""


def needs_spooling(path: Path) -> bool:
    """Whether `path` can be read only once: `-` for standard input, a pipe or a device."""
    return str(path) == "-" or path.is_fifo() or path.is_char_device()


def spool(path: Path, target: Path) -> None:
    """Copy standard input (`-`) or a pipe to `target`, as it comes, compressed or not; atomic.

    Raises:
        UsageError: standard input is a terminal.
    """
    if str(path) == "-" and sys.stdin.isatty():
        raise UsageError("standard input is a terminal: pipe the sequences into the command, or name a file")
    with atomic_path(target) as temporary, temporary.open("wb") as copy:
        if str(path) == "-":
            shutil.copyfileobj(sys.stdin.buffer, copy, _BUFFER_BYTES)
        else:
            with path.open("rb") as pipe:
                shutil.copyfileobj(pipe, copy, _BUFFER_BYTES)


@contextmanager
def readable(path: Path) -> Iterator[tuple[Path, str]]:
    """Yield a file that can be read several times, and what messages call it.

    The file is `path`, or a copy in TMPDIR of what can be read only once.
    """
    name = "standard input" if str(path) == "-" else str(path)
    if not needs_spooling(path):
        yield path, name
        return
    with tempfile.TemporaryDirectory(prefix="virnucpro-input-") as folder:
        copy = Path(folder) / "input"
        spool(path, copy)
        yield copy, name


def read_first_bytes(path: Path) -> bytes:
    """Return the first `FIRST_BYTES` bytes of `path`, decompressed.

    Raises:
        DamagedInputError: the file is truncated or damaged.
    """
    with path.open("rb") as file, _source(file) as source:
        stream = io.BufferedReader(cast(io.RawIOBase, _Bytes(source, escape=False)), FIRST_BYTES)
        return stream.read(FIRST_BYTES)


@contextmanager
def open_ascii(file: io.BufferedReader, skip: int = 0) -> Iterator[io.BufferedReader]:
    """Open `file` decompressed, from byte `skip` on, with every byte that is not ASCII escaped (see `unescape`).

    The readers of sequence files refuse anything but ASCII, and headers may hold any text.

    Raises:
        DamagedInputError: while reading, where the file is truncated or damaged.
    """
    with _source(file) as source:
        yield io.BufferedReader(cast(io.RawIOBase, _Bytes(source, escape=True, skip=skip)), _BUFFER_BYTES)


def unescape(text: str) -> str:
    """Return `text` of an `open_ascii` stream as it is in the file: UTF-8, or Latin-1 where it is not UTF-8."""
    if "\x1a" not in text:
        return text
    original = _ESCAPED.sub(lambda match: bytes.fromhex(match[1].decode()), text.encode("ascii"))
    try:
        return original.decode("utf-8")
    except UnicodeDecodeError:
        return original.decode("latin-1")


def check_bgzf_end(path: Path) -> None:
    """Check that a file of bgzip (as BAM is) ends with the empty block that bgzip writes last.

    To gzip readers, such a file is whole even if it was truncated between two blocks.

    Raises:
        DamagedInputError: the block is missing.
    """
    with path.open("rb") as file:
        first_bytes = file.read(16)
        if first_bytes[:4] != _BGZF_END[:4] or first_bytes[12:14] != b"BC":
            return
        file.seek(0, io.SEEK_END)
        file.seek(-min(len(_BGZF_END), file.tell()), io.SEEK_END)
        if file.read() != _BGZF_END:
            raise DamagedInputError("truncated: the block that ends every bgzip or BAM file is missing")


@contextmanager
def _source(file: io.BufferedReader) -> Iterator[io.BufferedReader]:
    compression = compression_of(file.peek(8))
    if compression is None:
        yield file
        return
    # Without threads: readers that use threads or processes can take a failed worker for the end of the file.
    with xopen(file, "rb", threads=0, format=compression) as source:
        yield cast(io.BufferedReader, source)


class _Bytes(io.RawIOBase):
    """Bytes of a decompressor, escaped on request; its errors become DamagedInputError."""

    def __init__(self, source: io.BufferedReader, *, escape: bool, skip: int = 0) -> None:
        self._source = source
        self._escape = escape
        self._pending = memoryview(b"")
        self._position = 0
        while skip > 0 and (skipped := self._read(skip)):
            skip -= len(skipped)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        if not self._pending:
            data = self._read(len(buffer))
            if self._escape and (not data.isascii() or _MARK in data):
                data = _TO_ESCAPE.sub(lambda match: b"%b%02x" % (_MARK, match[0][0]), data)
            self._pending = memoryview(data)
        count = min(len(buffer), len(self._pending))
        buffer[:count] = self._pending[:count]
        self._pending = self._pending[count:]
        return count

    def _read(self, count: int) -> bytes:
        try:
            data: bytes = self._source.read1(count)  # `read1` returns what is before the damage
        except Exception as error:  # each library has its own classes, some only Exception
            what = "truncated: it ends" if isinstance(error, EOFError) else f"damaged ({error})"
            raise DamagedInputError(f"{what} after {self._position:,} bytes of decompressed data") from error
        self._position += len(data)
        return data
