"""The embedding cache: vectors that earlier jobs computed, found by the content of their sequences.

A folder of the cache is of one encoder in one precision, on one kind of device, with one version of the programs:
whatever can change a bit of a vector is in its name. Each job adds one file, which appears when it is complete and is
never changed; so jobs of any number of runs, users and machines share a cache without locks, and a killed one leaves
nothing that is in the way.
"""

import hashlib
import json
import logging
import os
import platform
import re
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from virnucpro_kernels import __version__
from virnucpro_kernels.embed import cache_file
from virnucpro_kernels.embed.deduplicate import Distinct
from virnucpro_kernels.embed.known import Known
from virnucpro_kernels.errors import DamagedFileError, UsageError
from virnucpro_kernels.files import atomic_path
from virnucpro_kernels.pool.embedding_file import EmbeddingReader, Vectors
from virnucpro_kernels.pool.provenance import EncoderRecord
from virnucpro_kernels.sequences.arrays import Bools, Int64s

log = logging.getLogger(__name__)

_SUFFIX = ".h5"
#: Name of a file of vectors, and the hidden one that it has while a process writes it (`files.atomic_path`).
_OWN_NAME = re.compile(rf"(\.\d+\.)?[0-9a-f]{{32}}{re.escape(_SUFFIX)}")
#: File that says what a folder of the cache is for; without it, nothing in a folder is taken for the cache's.
_ABOUT = "made-by.json"
#: Largest number of files of a folder, each of which every job looks through.
_MOST_FILES = 1_000
#: Age at which a temporary file is one that a killed process left, on whatever machine.
_ABANDONED_SECONDS = 86_400


@dataclass(frozen=True)
class EmbeddingCache:
    """An embedding cache.

    Attributes:
        directory: Folder of the cache. What is written in it can be read and written by whom the folder can.
        limit_bytes: Size beyond which the files that were not used for longest are removed.
    """

    directory: Path
    limit_bytes: int

    def check(self) -> None:
        """Make the folder, unless it is there.

        Raises:
            UsageError: it can be neither made nor read.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            next(self.directory.iterdir(), None)
        except OSError as error:
            raise UsageError(
                f"embedding_cache: {self.directory} cannot be used: {error.strerror}; name another folder, or none"
            ) from error

    def part(self, record: EncoderRecord, dtype: torch.dtype, device: torch.device) -> "CachedVectors":
        """Return the vectors of one encoder, with these settings and on this kind of device.

        Args:
            record: Record of the encoder.
            dtype: Type of the stored vectors.
            device: Device that computes what the cache lacks.
        """
        return CachedVectors(self, identity(record, dtype, device))

    def evict(self) -> None:
        """Remove the files that were not used for longest, beyond the limit, and those that killed processes left.

        Only files that the cache itself wrote are counted and removed. One that this user may not remove stays, with a
        warning, and is not counted.
        """
        files = []
        for about in self.directory.glob(f"*/{_ABOUT}"):
            for path in _own_files(about.parent):
                with suppress(OSError):  # another job has just removed it, or this user may not look at it
                    status = path.lstat()
                    if stat.S_ISREG(status.st_mode):
                        files.append((path, status))
        abandoned = time.time() - _ABANDONED_SECONDS
        total, count = 0, dict.fromkeys((path.parent for path, _ in files), 0)
        removed, refused = [], []
        for path, status in sorted(files, key=lambda file: file[1].st_mtime, reverse=True):
            finished = not _is_temporary(path)
            size = status.st_size * finished
            total += size
            count[path.parent] += finished
            beyond = total > self.limit_bytes or count[path.parent] > _MOST_FILES
            if not (beyond if finished else status.st_mtime < abandoned):
                continue
            try:
                path.unlink()
                removed.append(status.st_size)
            except FileNotFoundError:  # another job has just removed it
                continue
            except OSError as error:
                refused.append(error)
                total -= size
                count[path.parent] -= finished
        if removed:
            log.info(
                "embedding cache: %d files (%.2f GB) that were not used for longest, or that killed jobs left, were"
                " removed from %s",
                *(len(removed), sum(removed) / 1e9, self.directory),
            )
        if refused:
            log.warning("embedding cache: %d old files cannot be removed, one of them: %s", len(refused), refused[0])


class CachedVectors:
    """The cached vectors of one encoder, for one chunk: `find` those that are there, then `keep` the others."""

    def __init__(self, cache: EmbeddingCache, identity: dict[str, str | int]) -> None:
        """`identity` is all that decides the bits of a vector, beside its sequence."""
        self._cache, self._identity = cache, json.dumps(identity, indent=1, sort_keys=True)
        fingerprint = hashlib.sha256(self._identity.encode()).hexdigest()[:16]
        self._folder = cache.directory / f"{identity['encoder']}-{identity['precision']}-{fingerprint}"
        self._digests = np.empty((0, 2), np.uint64)
        self._rows: Int64s = np.empty(0, np.int64)

    def find(self, distinct: Distinct) -> Known:
        """Return the vectors that the cache has of the distinct sequences of a chunk.

        What the cache cannot give is computed: a file that cannot be read is skipped, and a damaged one is removed if
        this user may do that, each with a warning.
        """
        digests = cache_file.digests_of(distinct.sequences)
        missing = np.arange(len(digests))
        found = []
        for path in self._files():
            try:
                hits, vectors = cache_file.find(path, digests[missing])
            except FileNotFoundError:  # removed since it was listed
                continue
            except OSError as error:
                log.warning("embedding cache: %s is skipped, and its vectors are computed: %s", path, error)
                continue
            except DamagedFileError as error:
                log.warning("embedding cache: %s; %s, and its vectors are computed again", error, _remove(path))
                continue
            if len(hits):
                found.append(Known(missing[hits], vectors))
                missing = np.delete(missing, hits)
                with suppress(OSError):  # it is another user's, or was removed: its age is that of its writing then
                    os.utime(path)
        self._digests, self._rows = digests[missing], distinct.first[missing]
        return Known.joined(found)

    def keep(self, embeddings: Path) -> None:
        """Add what `find` did not find, from the chunk's finished embedding file.

        Where the cache cannot take it, on a full disk say, this is a warning: the chunk is complete all the same.
        """
        if not len(self._rows):
            return
        try:
            self._write(embeddings)
        except OSError as error:
            log.warning("embedding cache: %s takes no vectors: %s", self._folder, error)
            return
        try:
            self._cache.evict()
        except OSError as error:
            log.warning("embedding cache: old files of %s are not removed: %s", self._cache.directory, error)

    def _files(self) -> list[Path]:
        """Return the finished files of the folder; none, with a warning, where it cannot be listed."""
        try:
            return sorted(path for path in _own_files(self._folder) if not _is_temporary(path))
        except OSError as error:
            log.warning("embedding cache: %s is skipped, and its vectors are computed: %s", self._folder, error)
            return []

    def _write(self, embeddings: Path) -> None:
        self._folder.mkdir(exist_ok=True)
        about = self._folder / _ABOUT
        if not about.exists():
            with suppress(PermissionError):  # another user has just made the folder
                self._share(self._folder)
            with atomic_path(about) as temporary:
                temporary.write_text(f"{self._identity}\n", encoding="utf-8")
                self._share(temporary)
        path = self._folder / f"{uuid.uuid4().hex}{_SUFFIX}"
        with EmbeddingReader(embeddings) as reader, atomic_path(path) as temporary:
            wanted = np.zeros(len(reader), np.bool_)
            wanted[self._rows] = True
            cache_file.write(
                temporary, self._digests, _chosen(reader, wanted), reader.provenance.dimension, reader.dtype
            )
            self._share(temporary)

    def _share(self, path: Path) -> None:
        """Give what was just written the permissions of the cache's folder."""
        mode = stat.S_IMODE(self._cache.directory.stat().st_mode)
        path.chmod(mode if path.is_dir() else mode & 0o666)


def _own_files(folder: Path) -> Iterator[Path]:
    """Yield what has the name of a file of the cache: a user may name a folder that holds other HDF5 files too."""
    return (path for path in folder.glob(f"*{_SUFFIX}") if _OWN_NAME.fullmatch(path.name))


def _is_temporary(path: Path) -> bool:
    return path.name.startswith(".")


def _remove(path: Path) -> str:
    """Remove a damaged file; return what became of it, in words."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        return f"the file cannot be removed ({error.strerror})"
    return "the file is removed"


def identity(record: EncoderRecord, dtype: torch.dtype, device: torch.device) -> dict[str, str | int]:
    """Return all that decides the bits of an encoder's vectors: weights, settings, device, versions of the programs.

    A CPU's results do not depend on the token budget. A GPU's do, because all its batches are padded to the budget, and
    the size of a product decides which kernel of cuBLAS computes it.
    """
    programs = {name: version for name in ("triton", "flash-attn") if (version := _version(name))}
    facts = (
        record.attributes() | programs | {"stored": str(dtype), "virnucpro": __version__, "torch": torch.__version__}
    )
    if device.type == "cuda":
        return facts | {"device": torch.cuda.get_device_name(device), "cuda": str(torch.version.cuda)}
    return facts | {"device": _cpu_name(), "instructions": torch.backends.cpu.get_cpu_capability(), "token_budget": 0}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _chosen(reader: EmbeddingReader, wanted: Bools) -> Iterator[Vectors]:
    """Yield the vectors (m, d) of the rows at the positions where `wanted`, bool (n,), is true."""
    start = 0
    for rows, vectors in reader.blocks():
        yield vectors[wanted[start : start + len(rows)]]
        start += len(rows)
