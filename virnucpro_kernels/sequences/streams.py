"""The decompressed bytes of an input file, as plain ASCII; damaged data are an error, never the end of the file."""

import bz2
import io
import lzma
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import zstandard
from isal import isal_zlib

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import atomic_path
from virnucpro_kernels.sequences.sniff import FIRST_BYTES, MAGIC, Compression, compression_of, describe, sniff

_BUFFER_BYTES = 1 << 20
#: Bytes that a decompressor is given at a time. Some formats hold thousands of times as many bytes in them.
_COMPRESSED_BYTES = 1 << 14

#: The empty block that ends every file written by bgzip and every BAM file; the header of any block; the largest one.
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_BGZF_HEADER = re.compile(rb"\x1f\x8b\x08\x04.{6}\x06\x00BC\x02\x00(..)", re.DOTALL)
_BGZF_BYTES = 1 << 16

#: What decompresses one member of a file (stream, frame). Readers of whole files are no choice: those of Python's
#: modules bz2 and lzma take damage near the start of a further stream for the end of the file, and those that use
#: threads or processes may take a failed worker for it.
_DECOMPRESSORS: dict[Compression, Callable[[], Any]] = {
    "gz": partial(isal_zlib.decompressobj, wbits=31),
    "bz2": bz2.BZ2Decompressor,
    "xz": partial(lzma.LZMADecompressor, lzma.FORMAT_XZ),
    "zst": lambda: zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj(),
}

#: Folders of the open files of a process; the most links that may lead from one to the next (as in Linux).
_DESCRIPTORS = re.compile(r"/proc/\d+/(task/\d+/)?fd")
_MOST_LINKS = 40

_OLD_MAC = re.compile(rb"\r(?!\n)")

#: Mark before two hexadecimal digits, which replace a byte that is not ASCII.
_MARK = b"\x1a"
_TO_ESCAPE = re.compile(rb"[\x1a\x80-\xff]")
_ESCAPED = re.compile(rb"\x1a([0-9a-f]{2})")


class DamagedInputError(Exception):
    """The bytes of an input file end too early or cannot be decompressed."""


class OtherDataError(DamagedInputError):
    """Something else follows the compressed data of an input file, which are whole."""


def needs_spooling(path: Path) -> bool:
    """Whether `path` can be read only once or only here: `-` for standard input, a pipe, a device, `/dev/fd/3`."""
    try:
        return str(path) == "-" or path.is_fifo() or path.is_char_device() or _is_descriptor(path)
    except OSError:  # whoever opens the file learns why
        return False


def _is_descriptor(path: Path) -> bool:
    """Whether `path` leads to an open file of this process, as `/dev/stdin` does: to other processes it is another."""
    links = 0
    while not _DESCRIPTORS.fullmatch(os.path.realpath(path.parent)):
        if not path.is_symlink() or links == _MOST_LINKS:
            return False
        path, links = path.parent / path.readlink(), links + 1
    return True


def name_of(path: Path) -> str:
    """Return what messages call a file. What is not UTF-8 in its name is written as `\\xff`."""
    return "standard input" if str(path) == "-" else os.fsencode(path).decode(errors="backslashreplace")


def spool(path: Path, target: Path) -> None:
    """Copy standard input (`-`) or a pipe to `target`, as it comes, compressed or not; atomic.

    Raises:
        UsageError: standard input is closed or a terminal.
    """
    if str(path) == "-" and sys.stdin is None:
        raise UsageError("standard input is closed: pipe the sequences into the command, or name a file")
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
    name = name_of(path)
    if not needs_spooling(path):
        yield path, name
        return
    with tempfile.TemporaryDirectory(prefix="virnucpro-input-") as folder:
        copy = Path(folder) / "input"
        spool(path, copy)
        yield copy, name


def read_first_bytes(path: Path) -> bytes:
    """Return the first `FIRST_BYTES` bytes of `path`, decompressed, or those before damage if they tell the format.

    Raises:
        DamagedInputError: the file is damaged so near its start that its format is not known.
    """
    first_bytes = b""
    with path.open("rb") as file:
        try:
            for piece in _decompressed(file):
                first_bytes += piece
                if len(first_bytes) >= FIRST_BYTES:
                    break
        except DamagedInputError:
            if not first_bytes or sniff(first_bytes).format is None:
                raise
    return first_bytes[:FIRST_BYTES]


def open_ascii(file: io.BufferedReader, skip: int = 0) -> io.BufferedReader:
    """Return the content of `file`, decompressed, from byte `skip` on, in ASCII lines.

    Line ends become line feeds, be they those of Unix, Windows or old Macs, and every byte that is not ASCII is escaped
    (see `unescape`): the readers of sequence files refuse anything else, and headers may hold any text.

    Raises:
        DamagedInputError: while reading, where the file is truncated or damaged.
    """
    pieces = _ascii_lines(_from(skip, _decompressed(file)))
    return io.BufferedReader(cast(io.RawIOBase, _Bytes(pieces)), _BUFFER_BYTES)


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
    """Check that a BAM file ends with the empty block that is to be its last.

    Otherwise it was perhaps truncated between two blocks, which decompressors do not notice.

    Raises:
        DamagedInputError: the block is missing.
    """
    with path.open("rb") as file:
        if not _BGZF_HEADER.match(file.read(len(_BGZF_END))):
            return
        if _last_bytes(file, len(_BGZF_END)) != _BGZF_END:
            raise DamagedInputError("truncated: the block that ends every BAM file is missing")


def may_be_cut(path: Path) -> bool:
    """Whether a file ends with a block of bgzip that is not the empty one.

    Either whoever wrote the file left out the empty block, as some programs do, or the file was truncated there.
    """
    with path.open("rb") as file:
        tail = _last_bytes(file, _BGZF_BYTES)
    for header in _BGZF_HEADER.finditer(tail):
        if header.start() + int.from_bytes(header[1], "little") + 1 == len(tail):
            return tail[header.start() :] != _BGZF_END
    return False


def _last_bytes(file: io.BufferedReader, count: int) -> bytes:
    size = file.seek(0, io.SEEK_END)
    file.seek(-min(count, size), io.SEEK_END)
    return file.read()


def _decompressed(file: io.BufferedReader) -> Iterator[bytes]:
    """Yield the content of `file` in pieces, none of them empty.

    Raises:
        DamagedInputError: the file is truncated or damaged.
    """
    compression = compression_of(file.peek(8))
    pieces = iter(partial(file.read1, _BUFFER_BYTES), b"") if compression is None else _members(file, compression)
    position = 0
    try:
        for piece in pieces:
            position += len(piece)
            yield piece
    except DamagedInputError:
        raise
    except Exception as error:  # each library has its own classes, some only Exception
        what = "truncated: it ends" if isinstance(error, EOFError) else f"damaged ({error})"
        raise DamagedInputError(f"{what} after {position:,} bytes of decompressed data") from error


def _members(file: io.BufferedReader, compression: Compression) -> Iterator[bytes]:
    """Yield the content of all members of a compressed file; between and behind them there may be zeros.

    Raises:
        EOFError: the last member is not whole.
        OtherDataError: something else follows a member.
    """
    read = partial(file.read, _COMPRESSED_BYTES)
    data = read()
    while data:
        member = _DECOMPRESSORS[compression]()
        while not member.eof:
            if not (data := data or read()):
                raise EOFError
            if piece := member.decompress(data):
                yield piece
            data = b""
        data = member.unused_data or read()
        while data and not (data := data.lstrip(b"\0")):
            data = read()
        data += read() if data else b""  # it may begin with a part of a header only
        if data and compression_of(data) != compression and not MAGIC[compression].startswith(data):
            what = describe(data[:FIRST_BYTES]) if data.strip() else "blank lines"
            end = file.tell() - len(data)
            raise OtherDataError(
                f"its compressed data are whole and end at byte {end:,}, but something else follows ({what})"
            )


def _from(skip: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield `pieces` without their first `skip` bytes."""
    for piece in pieces:
        if skip < len(piece):
            yield piece[skip:]
        skip = max(skip - len(piece), 0)


def _ascii_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same text with line feeds for all line ends, and escaped where it is not ASCII."""
    after_return = False
    for piece in pieces:
        text = piece[1:] if after_return and piece.startswith(b"\n") else piece
        after_return = piece.endswith(b"\r")
        if b"\r" in text and not _OLD_MAC.search(text):
            text = text.replace(b"\r", b"")  # several times as fast as what follows
        elif b"\r" in text:
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if not text.isascii() or _MARK in text:
            text = _TO_ESCAPE.sub(lambda match: b"%b%02x" % (_MARK, match[0][0]), text)
        yield text


class _Bytes(io.RawIOBase):
    """Pieces of a file as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._pending = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        while not self._pending:
            if (piece := next(self._pieces, None)) is None:
                return 0
            self._pending = memoryview(piece)
        count = min(len(buffer), len(self._pending))
        buffer[:count] = self._pending[:count]
        self._pending = self._pending[count:]
        return count
