"""The FASTA files of many chunks, written at once: text is appended in turn, and checksums are computed on the way."""

import hashlib
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

from virnucpro_kernels.pool.file_names import FASTA_SUFFIXES
from virnucpro_kernels.sequences.arrays import Uint8s
from virnucpro_kernels.split.second_pass import ChunkPiece

_BUFFER_BYTES = 1 << 26


class ChunkFiles:
    """The files of `chunks/`, written under another name and renamed when all of them are complete.

    A context manager: the directory appears when the block ends without an error and replaces an older one. No file
    stays open between two writes, because a pool may have more chunks than a process may have open files.

    Memory holds `buffer_bytes` of text that is still to be written.

    Attributes:
        names: Names of the chunks, digits.
        rows: Number of frames that each chunk has so far.
        bases: Number of bases of their nucleotide sequences.
    """

    def __init__(self, directory: Path, count: int, *, buffer_bytes: int = _BUFFER_BYTES) -> None:
        self.names = [f"{number:05d}" for number in range(count)]
        self.rows = [0] * count
        self.bases = [0] * count
        self._directory = directory
        self._temporary = directory.with_name(f".{os.getpid()}.{directory.name}")
        self._buffer_bytes = buffer_bytes
        self._buffers: dict[tuple[int, str], list[Uint8s]] = {}
        self._buffered = 0
        self._hashes = {(number, suffix): hashlib.sha256() for number in range(count) for suffix in FASTA_SUFFIXES}

    def __enter__(self) -> Self:
        self._temporary.mkdir(parents=True)
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._flush()
            self._temporary.stat()  # it fails where a newer run has removed the files; what that run made stays
            shutil.rmtree(self._directory, ignore_errors=True)
            self._temporary.rename(self._directory)
        else:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def append(self, piece: ChunkPiece) -> None:
        """Append a piece to the files of its chunk."""
        self.rows[piece.chunk] += piece.rows
        self.bases[piece.chunk] += piece.bases
        for suffix, text in zip(FASTA_SUFFIXES, (piece.nucleotides, piece.proteins), strict=True):
            self._hashes[piece.chunk, suffix].update(text.data)
            self._buffers.setdefault((piece.chunk, suffix), []).append(text)
            self._buffered += len(text)
        if self._buffered >= self._buffer_bytes:
            self._flush()

    def checksums(self, chunk: int) -> tuple[str, str]:
        """Return the SHA-256, hexadecimal, of the nucleotide and the protein file of `chunk` as written so far."""
        nucleotides, proteins = (self._hashes[chunk, suffix].hexdigest() for suffix in FASTA_SUFFIXES)
        return nucleotides, proteins

    def _flush(self) -> None:
        for (chunk, suffix), texts in self._buffers.items():
            with (self._temporary / f"{self.names[chunk]}{suffix}").open("ab") as file:
                file.writelines(text.data for text in texts)
        self._buffers.clear()
        self._buffered = 0
