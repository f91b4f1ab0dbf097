"""Opens and checks every file of a run, and removes what is damaged so that the next start makes it again."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from virnucpro_kernels.errors import DamagedFileError, UsageError, VirnucproError
from virnucpro_kernels.files import sha256
from virnucpro_kernels.pool import file_names
from virnucpro_kernels.pool.embedding_file import verify as verify_embeddings
from virnucpro_kernels.pool.manifest import Chunk, read_manifest
from virnucpro_kernels.pool.scores import ChunkScores
from virnucpro_kernels.pool.unusable import read_unusable
from virnucpro_kernels.run.locks import who_works_in
from virnucpro_kernels.run.pools import POOLS, read_pools

_ALL_ROWS = 2**62
_MISSING = "the file is missing"


@dataclass(frozen=True)
class Checked:
    """A file of a run and what is wrong with it.

    Attributes:
        path: File that was checked.
        problem: Problem in words; empty for a good file.
        remedy: Files to remove so that the next start makes `path` again. Among them are the records of the samples
            that come from `path`, because the workflow looks at nothing upstream of a finished sample.
    """

    path: Path
    problem: str
    remedy: tuple[Path, ...]


def verify_run(directory: Path, *, quick: bool, remove: bool, say: Callable[[str], object]) -> bool:
    """Print the damaged files of a run, and remove them if wanted; return whether there are none.

    Args:
        directory: Folder of the run.
        quick: Whether to look at existence and sizes only.
        remove: Whether to remove what stands in the way of making the damaged files again.
        say: Function that prints a line.

    While a run goes on, files come and go: none is called missing, and none is removed.

    Raises:
        UsageError: `directory` is not the folder of a run.
        VirnucproError: `remove` is asked for while a run goes on.
    """
    if not (directory / file_names.WORK).is_dir() and not (directory / file_names.RESULTS).is_dir():
        raise UsageError(f"{directory}: not the folder of a run; it has neither work/ nor results/")
    if at_work := who_works_in(directory):
        if remove:
            raise VirnucproError(f"{at_work}, before `verify --remove` may remove anything")
        say(f"{at_work} to verify the whole run; files that are not there yet are not called missing")
    files: set[Path] = set()
    damaged = []
    for checked in check_run(directory, quick=quick):
        if at_work and checked.problem == _MISSING:
            continue
        files.add(checked.path)
        if checked.problem:
            damaged.append(checked)
            say(f"{checked.path}: {checked.problem}")
    say(f"{len(files):,} files checked, {len({checked.path for checked in damaged}):,} damaged")
    if damaged and remove:
        for path in sorted({path for checked in damaged for path in checked.remedy}):
            if path.exists():
                path.unlink()
                say(f"removed {path}")
        say("start the run again to make them anew")
    return not damaged


def check_run(directory: Path, *, quick: bool) -> Iterator[Checked]:
    """Yield every file of the run in `directory`, checked; `quick` looks at existence and sizes only.

    A file that is not there because its stage has not run yet is no damage, and is not yielded.
    """
    if (directory / POOLS).exists():
        yield _checked(directory / POOLS, read_pools)
    for folder in sorted(directory.glob("work/*/*/")):
        yield from _check_pool(folder, quick)
    for record in file_names.result_records(directory):
        yield from _check_results(record, quick)


def _check_pool(folder: Path, quick: bool) -> Iterator[Checked]:
    """Check the files of a pool; without the manifest, `split` makes all of its files again."""
    manifest = folder / file_names.MANIFEST
    if not manifest.exists():
        return
    samples = tuple(_records_of_pool(folder))
    again = (manifest, *samples)
    listed = _checked(manifest, _read_manifest, again)
    yield listed
    if listed.problem:
        return
    chunks = {chunk.chunk: chunk for chunk in read_manifest(manifest)}
    for table in (folder / file_names.CONTIGS, folder / file_names.WINDOWS):
        yield _checked(table, _not_empty if quick else _read_parquet, again)
    yield _checked(folder / file_names.UNUSABLE, _not_empty if quick else read_unusable, again)
    for name, chunk in chunks.items():
        checksums = chunk.nucleotide_sha256, chunk.protein_sha256
        for suffix, checksum in zip(file_names.FASTA_SUFFIXES, checksums, strict=True):
            check = _not_empty if quick else partial(_same_checksum, checksum=checksum)
            yield _checked(folder / file_names.CHUNKS / f"{name}{suffix}", check, again)
    for path in sorted(folder.glob("*/[!.]*.h5")):
        yield _checked(path, _not_empty if quick else verify_embeddings)
    for path in sorted(folder.glob(f"*/*/[!.]*{file_names.SCORE_SUFFIX}")):
        if path.stem in chunks:
            check = _not_empty if quick else partial(_read_scores, chunk=chunks[path.stem])
            yield _checked(path, check, (path, path.with_name(file_names.GATHERED), *samples))
    for path in sorted(folder.glob(f"*/*/{file_names.GATHERED}")):
        yield from _check_gathered(path, again, quick)


def _check_gathered(listing: Path, remedy: tuple[Path, ...], quick: bool) -> Iterator[Checked]:
    """Check the files that the tables were made from by the list of their checksums, unless they were split since."""
    lines = [line.partition("  ") for line in listing.read_text(encoding="utf-8").splitlines()]
    manifest = remedy[0]
    same_split = any(name == f"../../{manifest.name}" and checksum == sha256(manifest) for checksum, _, name in lines)
    if not same_split and manifest.stat().st_mtime_ns > listing.stat().st_mtime_ns:
        return
    for checksum, _, name in lines:
        path = listing.parent / name
        scores = (path, listing, *remedy[1:])
        yield _checked(
            listing.parents[2] / path.name if name.startswith("..") else path,
            _not_empty if quick else partial(_same_checksum, checksum=checksum),
            remedy if name.startswith("..") else scores,
        )


def _records_of_pool(folder: Path) -> Iterator[Path]:
    """Yield the records of the samples whose results come from a pool."""
    pool = folder.relative_to(folder.parents[2])
    for record in file_names.result_records(folder.parents[2]):
        try:
            directory = json.loads(record.read_text(encoding="utf-8"))["pool"]["directory"]
        except (ValueError, KeyError, TypeError):
            continue  # a damaged record is listed, and removed, by itself
        if Path(directory) == pool:
            yield record


def _check_results(record: Path, quick: bool) -> Iterator[Checked]:
    """Check the files of a sample, as its `run.json` lists them."""
    listed = _checked(record, _read_record)
    yield listed
    if listed.problem:
        return
    for name, file in sorted(_read_record(record).items()):
        check = partial(_same_size, size=file["bytes"]) if quick else partial(_same_checksum, checksum=file["sha256"])
        yield _checked(record.with_name(name), check)


def _checked(path: Path, check: Callable[[Path], object], remedy: tuple[Path, ...] = ()) -> Checked:
    try:
        check(path)
    except FileNotFoundError:
        problem = _MISSING
    except (VirnucproError, OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        problem = str(error).removeprefix(f"{path}: ") or type(error).__name__
    else:
        problem = ""
    return Checked(path, problem, remedy or (path,))


def _not_empty(path: Path) -> None:
    if path.stat().st_size == 0:
        raise DamagedFileError("empty")


def _same_size(path: Path, size: int) -> None:
    if path.stat().st_size != size:
        raise DamagedFileError(f"{path.stat().st_size:,} bytes instead of {size:,}")


def _same_checksum(path: Path, checksum: str) -> None:
    if sha256(path) != checksum:
        raise DamagedFileError("its content is not what was written (SHA-256)")


def _read_manifest(path: Path) -> None:
    for chunk in read_manifest(path):
        if chunk.geometry != path.parents[1].name:
            raise DamagedFileError(f"chunk {chunk.chunk} is of geometry {chunk.geometry}, not {path.parents[1].name}")


def _read_parquet(path: Path) -> None:
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for _ in file.iter_batches():
            pass


def _read_scores(path: Path, chunk: Chunk) -> None:
    """Read all scores of a chunk; the folder is named after the model."""
    ChunkScores(path, chunk, path.parent.name, 0, _ALL_ROWS).below(_ALL_ROWS)


def _read_record(path: Path) -> dict[str, Any]:
    files: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["files"]
    return files
