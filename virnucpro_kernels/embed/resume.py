"""In-chunk progress: the vectors finished so far, in `{chunk}.partial/`, from which a restarted job goes on.

A partial file has the format of `pool/embedding_file.py`; its rows number the distinct sequences of the chunk. Partial
files of one encoder follow each other without a gap. The workflow does not declare them, so that they outlive a job
that failed or was killed.
"""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.files import take_lock
from virnucpro_kernels.pool.embedding_file import EmbeddingReader, EmbeddingWriter, Vectors, damage
from virnucpro_kernels.pool.provenance import Alphabet, Provenance, encoder_record, with_budget

log = logging.getLogger(__name__)

_LOCK = "lock"


@dataclass(frozen=True)
class PartialEmbeddings:
    """The partial files of one chunk, as `open_partial` yields them."""

    directory: Path

    def add(self, alphabet: Alphabet, first: int, vectors: Vectors, provenance: Provenance) -> None:
        """Save the vectors (m, d) of distinct sequences `first`, `first` + 1, …"""
        path = self.directory / f"{alphabet}-{first:09d}.h5"
        with EmbeddingWriter(path, len(vectors), vectors.dtype, provenance) as out:
            out.write(first + np.arange(len(vectors)), vectors)

    def clear(self) -> None:
        """Remove the progress of all encoders: the device that made it cannot be trusted."""
        for path in self.directory.glob("*.h5"):
            path.unlink()

    def keep_budget(self, alphabet: Alphabet, provenance: Provenance) -> None:
        """Make the next attempt begin with the token budget of `provenance`, whatever made the partial files."""
        last = max(self.directory.glob(f"{alphabet}-*.h5"), default=None)
        if last:
            with EmbeddingReader(last) as reader:
                vectors = reader.read(0, len(reader))
            self.add(alphabet, int(reader.rows[0]), vectors, provenance)

    def saved(self, alphabet: Alphabet, provenance: Provenance, dtype: np.dtype[Any]) -> Iterator[tuple[Vectors, int]]:
        """Yield the saved vectors (m, d) in order, from sequence 0 on, each with the token budget that made it.

        A partial file that is of no use is removed, with all that follow it: a damaged one, one behind a gap, and one
        made of another content or by another encoder, precision, kernel or version.

        Args:
            alphabet: Alphabet of the encoder.
            provenance: Provenance that this job would write; its token budget does not matter.
            dtype: Type of the vectors that this job would write.
        """
        paths = sorted(self.directory.glob(f"{alphabet}-*.h5"))
        expected = 0
        for number, path in enumerate(paths):
            try:
                vectors, budget = self._load(path, alphabet, expected, provenance, dtype)
            except DamagedFileError as error:
                log.warning(
                    "earlier progress from sequence %d on cannot be used and is computed again: %s", expected, error
                )
                for useless in paths[number:]:
                    useless.unlink()
                return
            expected += len(vectors)
            yield vectors, budget

    @staticmethod
    def _load(
        path: Path, alphabet: Alphabet, first: int, provenance: Provenance, dtype: np.dtype[Any]
    ) -> tuple[Vectors, int]:
        with EmbeddingReader(path) as reader:
            with damage(path):
                budget = encoder_record(reader.provenance, alphabet).token_budget
            if reader.provenance != with_budget(provenance, alphabet, budget) or reader.dtype != dtype:
                raise DamagedFileError(f"{path}: made from other content, or by another model, precision or version")
            if not np.array_equal(reader.rows, first + np.arange(len(reader))):
                raise DamagedFileError(f"{path}: does not begin at sequence {first}")
            return reader.read(0, len(reader)), budget


@contextmanager
def open_partial(directory: Path) -> Iterator[PartialEmbeddings]:
    """Lock the partial files of a chunk during the block; they are removed when it ends without an error.

    Where another process has them, an orphan of a killed run perhaps, this waits until that process is done.
    """
    lock = take_lock(
        directory / _LOCK,
        if_taken=lambda: log.info("%s: another process works at this chunk; waiting for it", directory),
    )
    try:
        yield PartialEmbeddings(directory)
        for path in directory.iterdir():
            if path.name != _LOCK:
                path.unlink()
        (directory / _LOCK).unlink()
    finally:
        os.close(lock)
    try:
        directory.rmdir()  # now that nothing in it is open: NFS keeps open files, under other names
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):  # a process that has waited has taken it over
            raise
