"""The HDF5 files of embeddings and features: written whole, with checksums, and checked whenever they are read.

A file holds `row` int64 (n,), strictly ascending, and `embedding` (n, d) float16 or float32, in blocks of about 4 MiB,
each with a Fletcher32 checksum; HDF5's own structures are checksummed too (format 1.10), and the attributes lie in
them. Nothing in a file depends on when or where it was written: the same work gives the same bytes.

In a linked file, `embedding` is a virtual dataset: the vectors side by side of files in the same folder, its sources.
Whoever reads it with HDF5 sees no difference, but where a source is missing, HDF5 gives zeros; the reader here refuses.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, get_args

import h5py
import numpy as np
import numpy.typing as npt

from virnucpro_kernels.errors import REMEDY, DamagedFileError, NotFiniteError
from virnucpro_kernels.files import atomic_path
from virnucpro_kernels.pool.disk import Disk
from virnucpro_kernels.pool.provenance import Alphabet, Provenance
from virnucpro_kernels.sequences.arrays import Int64s

SCHEMA_VERSION = 2
_BLOCK_BYTES = 1 << 22
#: Blocks that a reader keeps, so that reading parts of them does not decode and check each several times.
_CACHE_BYTES = 4 * _BLOCK_BYTES
#: Bytes after which a file is flushed to the disk, so that closing a large file does not wait for all of it.
_SYNC_BYTES = 1 << 28

Rows = Int64s
Vectors = npt.NDArray[np.floating[Any]]


class EmbeddingWriter:
    """Context manager that writes one file, atomically: it appears under its name when complete, or not at all."""

    def __init__(self, path: Path, rows: int, dtype: npt.DTypeLike, provenance: Provenance) -> None:
        """Prepare to write `rows` vectors.

        Args:
            path: File to write.
            rows: Number of vectors that will be written.
            dtype: Type of the stored vectors, float16 or float32.
            provenance: Attributes of the file; they may be replaced (`self.provenance`) until the block ends.
        """
        self.path, self.rows, self.provenance = path, rows, provenance
        self._dtype = np.dtype(dtype)
        dimension = provenance.dimension
        self._block = _block_rows(rows, dimension, self._dtype)
        self._buffer = np.empty((self._block, dimension), self._dtype)
        self._buffer_rows = np.empty(self._block, np.int64)
        self._buffered = self._written = self._unsynced = 0
        self._last_row = -1
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        temporary = self._stack.enter_context(atomic_path(self.path))
        try:
            self._disk = self._stack.enter_context(Disk(temporary, "w+"))
            self._file = self._stack.enter_context(h5py.File(self._disk, "w", libver=("v110", "v110")))
            for name, dtype, width in (("row", np.dtype(np.int64), ()), ("embedding", self._dtype, (self._dimension,))):
                _create(self._file, name, (self.rows, *width), dtype, self._block)
        except BaseException as error:
            self._stack.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    @property
    def _dimension(self) -> int:
        return int(self._buffer.shape[1])

    def write(self, rows: Rows, vectors: Vectors) -> None:
        """Append vectors.

        Args:
            rows: Rows, int64 (m,), ascending and larger than all rows so far.
            vectors: Vectors of these rows, (m, d).

        Raises:
            ValueError: the rows are out of order, or an array has the wrong shape.
            NotFiniteError: a value is not finite in the stored type.
        """
        if vectors.shape != (len(rows), self._dimension):
            raise ValueError(f"{len(rows)} rows and vectors {vectors.shape} do not fit (n, {self._dimension})")
        if not _ascending(rows, after=self._last_row):
            raise ValueError("rows must be strictly ascending")
        with np.errstate(over="ignore"):
            stored = vectors.astype(self._dtype, copy=False)
        if (bad := _first_not_finite(stored)) is not None:
            raise NotFiniteError(
                f"{self.path.name}: the vector of row {rows[bad]} is not finite in {self._dtype};"
                " nothing was written. Use a higher precision (fp32, embeddings stored as float32)"
            )
        if len(rows):
            self._last_row = int(rows[-1])
        taken = 0
        while taken < len(rows):
            count = min(len(rows) - taken, self._block - self._buffered)
            self._buffer[self._buffered : self._buffered + count] = stored[taken : taken + count]
            self._buffer_rows[self._buffered : self._buffered + count] = rows[taken : taken + count]
            taken += count
            self._buffered += count
            if self._buffered == self._block:
                self._flush()

    def _flush(self) -> None:
        stop = self._written + self._buffered
        if stop > self.rows:
            raise ValueError(f"more than the {self.rows} rows announced")
        if self._buffered:
            self._file["embedding"][self._written : stop] = self._buffer[: self._buffered]
            self._file["row"][self._written : stop] = self._buffer_rows[: self._buffered]
            self._unsynced += self._buffer.nbytes
            self._disk.check()
        self._written, self._buffered = stop, 0
        if self._unsynced >= _SYNC_BYTES:
            self._file.flush()
            os.fdatasync(self._disk.fileno())
            self._unsynced = 0

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self._stack.__exit__(error_type, error, traceback)
            return
        with self._stack:
            self._flush()
            if self._written != self.rows:
                raise ValueError(f"{self._written} rows written, {self.rows} announced")
            _write_attributes(self._file, {"schema_version": SCHEMA_VERSION, **self.provenance.attributes()})
            self._file.close()
            self._disk.check()


def write_linked(path: Path, sources: Sequence["EmbeddingReader"], provenance: Provenance) -> None:
    """Write a linked file, atomically.

    Args:
        path: File to write.
        sources: Open files in the same folder, with the same rows and types, in the order of their vectors.
        provenance: Attributes of the file.
    """
    first = sources[0]
    layout = h5py.VirtualLayout((len(first), provenance.dimension), first.dtype)
    start = 0
    for source in sources:
        shape = len(source), source.provenance.dimension
        layout[:, start : start + shape[1]] = h5py.VirtualSource(source.path.name, "embedding", shape, source.dtype)
        start += shape[1]
    with atomic_path(path) as temporary, Disk(temporary, "w+") as disk:
        with h5py.File(disk, "w", libver=("v110", "v110")) as file:
            _create(file, "row", (len(first),), np.dtype(np.int64), max(1, len(first)))
            file["row"][:] = first.rows
            file.create_virtual_dataset("embedding", layout, fillvalue=0)
            _write_attributes(file, {"schema_version": SCHEMA_VERSION, **provenance.attributes()})
        disk.check()


class EmbeddingReader:
    """Context manager that reads one file and checks all that it reads.

    Opening checks attributes, shapes and rows, and those of the sources; `blocks` checks the vectors as it yields them.

    Attributes:
        path: File to read.
        provenance: Attributes of the file.
        encoders: Name of the encoders and the precision that must have made the vectors; any if empty.
        rows: Rows, int64 (n,), strictly ascending.
        dtype: Type of the vectors.

    Every method raises DamagedFileError where the file is damaged, of another kind, or linked and `may_link` is false.
    """

    def __init__(self, path: Path, encoders: str = "", *, may_link: bool = True) -> None:
        self.path, self.encoders, self._may_link = path, encoders, may_link

    def __enter__(self) -> Self:
        if not self.path.is_file():
            raise DamagedFileError(f"{self.path}: there is no such file; run the stage that makes it")
        with damage(self.path):
            self._file = h5py.File(self.path, "r", locking=False, rdcc_nbytes=_CACHE_BYTES)
        try:
            with damage(self.path):
                self._read_header()
        except BaseException:
            self._file.close()
            raise
        return self

    def _read_header(self) -> None:
        flat = _read_attributes(self._file)
        version = flat.pop("schema_version", None)
        if version != SCHEMA_VERSION:
            raise DamagedFileError(f"{self.path}: the file has format {version}, not {SCHEMA_VERSION}; {REMEDY}")
        self.provenance = Provenance.from_attributes(flat)
        if self.encoders not in ("", self.provenance.encoders):
            raise DamagedFileError(
                f"{self.path}: the vectors are of {self.provenance.encoders}, not of {self.encoders}; {REMEDY}"
            )
        rows, vectors = self._file["row"], self._file["embedding"]
        if rows.ndim != 1 or rows.dtype != np.int64 or vectors.shape != (len(rows), self.provenance.dimension):
            raise DamagedFileError(
                f"{self.path}: rows {rows.shape} and vectors {vectors.shape} are not (n,) and"
                f" (n, {self.provenance.dimension}); {REMEDY}"
            )
        if vectors.dtype not in (np.float16, np.float32):
            raise DamagedFileError(f"{self.path}: the vectors are {vectors.dtype}, not float16 or float32; {REMEDY}")
        self.dtype: np.dtype[Any] = vectors.dtype
        self.rows: Rows = rows[:]
        if not _ascending(self.rows, after=-1):
            raise DamagedFileError(f"{self.path}: the rows are not unique and ascending; {REMEDY}")
        names = [source.file_name for source in vectors.virtual_sources()] if vectors.is_virtual else []
        if names and not self._may_link:
            raise DamagedFileError(f"{self.path}: points to other files, which themselves must hold vectors; {REMEDY}")
        self._sources = [self.path.with_name(name) for name in names]
        alphabets = [alphabet for alphabet in get_args(Alphabet) if getattr(self.provenance, alphabet)]
        for source, alphabet in zip(self._sources, alphabets if names else [], strict=True):
            with EmbeddingReader(source, self.encoders, may_link=False) as part:
                self._check_source(part, dict.fromkeys(set(alphabets) - {alphabet}))

    def _check_source(self, part: "EmbeddingReader", others: dict[str, None]) -> None:
        """Refuse a file to which this one points and which has changed since; `others` are the encoders it lacks."""
        expected = replace(self.provenance, **others, package_version=part.provenance.package_version)  # type: ignore[arg-type]
        if part.provenance != expected or part.dtype != self.dtype or not np.array_equal(part.rows, self.rows):
            raise DamagedFileError(f"{self.path}: was made from other vectors than those of {part.path}; {REMEDY}")

    def __len__(self) -> int:
        return len(self.rows)

    def blocks(self) -> Iterator[tuple[Rows, Vectors]]:
        """Yield rows (m,) and vectors (m, d) of one stored block after the other."""
        step = _block_rows(len(self), self.provenance.dimension, self.dtype)
        for start in range(0, len(self), step):
            yield self.rows[start : start + step], self.read(start, min(start + step, len(self)))

    def read(self, start: int, stop: int) -> Vectors:
        """Return the vectors (stop - start, d) of the rows at positions `start` to `stop`."""
        try:
            with damage(self.path):
                vectors: Vectors = self._file["embedding"][start:stop]
        except DamagedFileError:
            for source in self._sources:
                verify(source)  # which names the damaged one
            raise
        if (bad := _first_not_finite(vectors)) is not None:
            raise DamagedFileError(f"{self.path}: the vector of row {self.rows[start + bad]} is not finite; {REMEDY}")
        return vectors

    def __exit__(self, *_: object) -> None:
        self._file.close()


def verify(path: Path, encoders: str = "") -> Provenance:
    """Read and check a whole file; arguments as those of `EmbeddingReader`.

    Raises:
        DamagedFileError: the file is damaged.
    """
    with EmbeddingReader(path, encoders) as reader:
        for _ in reader.blocks():
            pass
        return reader.provenance


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Convert h5py's exceptions for a damaged file into DamagedFileError."""
    try:
        yield
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise DamagedFileError(f"{path}: this is not a whole embedding file ({error}); {REMEDY}") from error


def _create(file: h5py.File, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], block: int) -> None:
    """Create a dataset with checksums, in blocks of `block` rows."""
    chunks = (block, *shape[1:])
    file.create_dataset(name, shape, dtype, chunks=chunks, fletcher32=True, fillvalue=0, track_times=False)


def _block_rows(rows: int, dimension: int, dtype: np.dtype[Any]) -> int:
    return max(1, min(rows, _BLOCK_BYTES // (dimension * dtype.itemsize)))


def _first_not_finite(vectors: Vectors) -> int | None:
    """Return the position of the first of the vectors (n, d) with an infinity or NaN."""
    if vectors.dtype != np.float16:
        finite = np.isfinite(vectors)
    else:
        # Only infinities and NaNs have an exponent of all ones. numpy's test takes twenty times as long.
        exponents = vectors.view(np.uint16) & 0x7C00
        if exponents.max(initial=0) < 0x7C00:
            return None
        finite = exponents < 0x7C00
    return None if finite.all() else int(np.argmin(finite.all(axis=1)))


def _ascending(rows: Rows, *, after: int) -> bool:
    return len(rows) == 0 or bool(rows[0] > after and (np.diff(rows) > 0).all())


def _write_attributes(file: h5py.File, attributes: dict[str, str | int]) -> None:
    # Strings of fixed length are stored in the checksummed object header, those of variable length outside it.
    for name, value in attributes.items():
        if isinstance(value, int):
            file.attrs.create(name, value, dtype=np.int64)
        else:
            encoded = value.encode()
            file.attrs.create(name, encoded, dtype=h5py.string_dtype("utf-8", max(1, len(encoded))))


def _read_attributes(file: h5py.File) -> dict[str, str | int]:
    return {
        name: value.decode() if isinstance(value, bytes) else int(value) for name, value in dict(file.attrs).items()
    }
