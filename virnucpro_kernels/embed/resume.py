"""In-chunk progress: the vectors finished so far, in `{chunk}.parts/`, from which a restarted job goes on.

A part is a file of `pool/embedding_file.py` whose rows count the distinct sequences of the chunk. Parts of one encoder
follow each other without a gap. The workflow does not declare them, so that they outlive a job that failed or was
killed.
"""

import errno
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.files import try_lock
from virnucpro_kernels.pool.embedding_file import EmbeddingReader, EmbeddingWriter, Vectors, damage
from virnucpro_kernels.pool.provenance import Alphabet, Provenance, encoder_run, with_budget

log = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
_LOCK = "lock"


@dataclass(frozen=True)
class Parts:
    """The parts of one chunk. Get one from `open_parts`."""

    directory: Path

    def add(self, kind: Alphabet, first: int, vectors: Vectors, provenance: Provenance) -> None:
        """Save the vectors (m, d) of distinct sequences `first`, `first` + 1, …"""
        with EmbeddingWriter(self.directory / f"{kind}-{first:09d}.h5", len(vectors), vectors.dtype, provenance) as out:
            out.write(first + np.arange(len(vectors)), vectors)

    def keep_budget(self, kind: Alphabet, provenance: Provenance) -> None:
        """Have whoever goes on begin with the token budget of `provenance`, whatever the parts were made with."""
        last = max(self.directory.glob(f"{kind}-*.h5"), default=None)
        if last:
            with EmbeddingReader(last) as reader:
                vectors = reader.read(0, len(reader))
            self.add(kind, int(reader.rows[0]), vectors, provenance)

    def saved(self, kind: Alphabet, provenance: Provenance, dtype: np.dtype[Any]) -> Iterator[tuple[Vectors, int]]:
        """Yield the saved vectors (m, d) in order, from sequence 0 on, each with the token budget that made it.

        What does not fit is removed, with all that follows it: a damaged part, one behind a gap, and one that another
        content, encoder, precision, kernel or version has made.

        Args:
            kind: whose vectors.
            provenance: what this job would write; its token budget does not matter.
            dtype: of the vectors that this job would write.
        """
        paths = sorted(self.directory.glob(f"{kind}-*.h5"))
        expected = 0
        for number, path in enumerate(paths):
            try:
                vectors, budget = self._load(path, kind, expected, provenance, dtype)
            except DamagedFileError as error:
                log.warning("earlier progress from sequence %d on is of no use and is made again: %s", expected, error)
                for useless in paths[number:]:
                    useless.unlink()
                return
            expected += len(vectors)
            yield vectors, budget

    @staticmethod
    def _load(
        path: Path, kind: Alphabet, first: int, provenance: Provenance, dtype: np.dtype[Any]
    ) -> tuple[Vectors, int]:
        with EmbeddingReader(path) as reader:
            with damage(path):
                budget = encoder_run(reader.provenance, kind).token_budget
            if reader.provenance != with_budget(provenance, kind, budget) or reader.dtype != dtype:
                raise DamagedFileError(f"{path}: made from other content, or by another model, precision or version")
            if not np.array_equal(reader.rows, first + np.arange(len(reader))):
                raise DamagedFileError(f"{path}: does not begin at sequence {first}")
            return reader.read(0, len(reader)), budget


@contextmanager
def open_parts(directory: Path) -> Iterator[Parts]:
    """Have the parts of a chunk for oneself during the block; they are removed when it ends without an error.

    Where another process has them, an orphan of a killed run perhaps, this waits until that process is done.
    """
    descriptor = _lock(directory)
    try:
        yield Parts(directory)
        for path in directory.iterdir():
            if path.name != _LOCK:
                path.unlink()
        (directory / _LOCK).unlink()
    finally:
        os.close(descriptor)
    try:
        directory.rmdir()  # now that nothing in it is open: NFS keeps open files, under other names
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):  # whoever has waited has taken it over
            raise


def _lock(directory: Path) -> int:
    told = False
    while True:
        path = directory / _LOCK
        try:
            directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except (FileExistsError, FileNotFoundError):  # the folder was removed just now, by a process that has finished
            if directory.is_file():
                raise
            continue
        if try_lock(descriptor, path):
            return descriptor
        os.close(descriptor)
        if not told:
            log.info("%s: another process works at this chunk; waiting for it", directory)
            told = True
        time.sleep(_POLL_SECONDS)
