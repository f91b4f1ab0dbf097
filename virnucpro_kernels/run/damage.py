"""Every file of a run checked, at a choice of depths, and what has to go so that a damaged one is made again."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from virnucpro_kernels.errors import REMEDY, DamagedFileError, VirnucproError
from virnucpro_kernels.pool import file_names
from virnucpro_kernels.pool.job_record import read_job, read_record, recorded_checksum
from virnucpro_kernels.pool.manifest import Chunk, read_manifest
from virnucpro_kernels.pool.unusable import read_unusable
from virnucpro_kernels.run.checksums import Checksums
from virnucpro_kernels.run.pools import POOLS, read_pools
from virnucpro_kernels.run.summary_table import read_summary

MISSING = "the file is missing"
_ALL_ROWS = 2**62
_ENCODERS = ["nucleotide", "protein"]
#: Files that the tables of a pool are made from, beside the scores.
_TABLES = (file_names.MANIFEST, file_names.CONTIGS, file_names.WINDOWS)
_SCORES = re.compile(r"\d+" + re.escape(file_names.SCORE_SUFFIX))
_CHANGED = "its content is not what was written (SHA-256)"


class Depth(IntEnum):
    """How closely files are looked at.

    Attributes:
        SIZES: Depth of existence and sizes, and of what small tables say.
        CHECKSUMS: Depth of a start: also the checksums on record of tables, scores and results. Sequences and vectors,
            by far the largest files, are checked by the jobs that read them.
        ALL: Depth of everything: each file is read from begin to end.
    """

    SIZES = 0
    CHECKSUMS = 1
    ALL = 2


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


def check_run(directory: Path, depth: Depth, checksums: Checksums | None = None) -> Iterator[Checked]:
    """Yield every file of the run in `directory`, checked.

    A file that is not there because its stage has not run yet is no damage, and is not yielded.

    Args:
        directory: Folder of the run.
        depth: How closely to look.
        checksums: Checksums that are known; by default every file is read anew.
    """
    check = _Check(depth, checksums or Checksums(), _records_by_pool(directory))
    if (directory / POOLS).exists():
        yield _checked(directory / POOLS, read_pools)
    for folder in sorted(directory.glob("work/*/*/")):
        yield from check.pool(folder)
    for record in file_names.in_results(directory, file_names.RUN_RECORD):
        yield from check.results(record)
    for summary in sorted(directory.glob(f"{file_names.RESULTS}*/{file_names.SUMMARY_TABLE}")):
        yield _checked(summary, read_summary)
    for columns in sorted(directory.glob(f"{file_names.RESULTS}*/{file_names.COLUMNS}")):
        yield _checked(columns, _read_json)
    if depth:
        collected = file_names.in_results(directory, file_names.record_name("collect"))
        for record in sorted(chain(directory.glob("work/**/[!.]*.json"), collected)):
            yield _checked(record, read_record)


def check_tables(directory: Path) -> Iterator[Checked]:
    """Yield the tables of a run that Snakemake itself reads, checked: that of the pools, and those of the chunks."""
    if (directory / POOLS).exists():
        yield _checked(directory / POOLS, read_pools)
    records = _records_by_pool(directory)
    for manifest in sorted(directory.glob(f"work/*/*/{file_names.MANIFEST}")):
        yield _checked(manifest, _read_manifest, (manifest, *records[manifest.parent]))


def check_pool(folder: Path) -> Iterator[Checked]:
    """Yield every file in the folder of a pool, read from begin to end and checked."""
    yield from _Check(Depth.ALL, Checksums(), _records_by_pool(folder.parents[2])).pool(folder)


@dataclass(frozen=True)
class _Check:
    """A pass over the files of a run.

    Attributes:
        depth: How closely to look.
        checksums: Checksums that are known.
        records: Records of the samples whose results come from a pool, by its folder.
    """

    depth: Depth
    checksums: Checksums
    records: Mapping[Path, list[Path]]

    def pool(self, folder: Path) -> Iterator[Checked]:
        """Check the files of a pool; without the manifest, `split` makes all of its files again."""
        manifest = folder / file_names.MANIFEST
        samples = self.records[folder]
        again = (manifest, *samples)
        chunks: dict[str, Chunk] = {}
        if manifest.exists():
            listed = _checked(manifest, _read_manifest, again)
            yield listed
            record = folder / file_names.record_name("split")
            for name in (file_names.CONTIGS, file_names.WINDOWS):
                yield _checked(folder / name, partial(self._written, record=record, read=_read_parquet), again)
            yield _checked(folder / file_names.UNUSABLE, read_unusable if self.depth else _not_empty, again)
            if not listed.problem:
                chunks = {chunk.chunk: chunk for chunk in read_manifest(manifest)}
        yield from self._sequences(folder, chunks, again)
        for path in sorted(folder.glob("*/[!.]*.h5")):
            chunk = chunks.get(path.name.split(".")[0])
            yield _checked(path, partial(self._vectors, chunk=chunk))
        for path in sorted(folder.glob("*/*/[!.]*.parquet")):
            if path.stem in chunks or not chunks:
                record = path.with_name(file_names.record_name("classify", path.stem))
                read = partial(_read_scores, chunk=chunks.get(path.stem))
                check = partial(self._written, record=record, read=read)
                yield _checked(path, check, (path, path.with_name(file_names.GATHERED), *samples))
        for path in sorted(folder.glob(f"*/*/{file_names.GATHERED}")):
            yield from self._gathered(path, chunks, again)

    def _sequences(self, folder: Path, chunks: dict[str, Chunk], again: tuple[Path, ...]) -> Iterator[Checked]:
        """Check the sequences of a pool; a start looks only for those that are still to be embedded."""
        scored = {path.stem for path in folder.glob("*/*/*.parquet")} if self.depth == Depth.CHECKSUMS else set()
        for name, chunk in chunks.items():
            checksums = chunk.nucleotide_sha256, chunk.protein_sha256
            for suffix, checksum in zip(file_names.FASTA_SUFFIXES, checksums, strict=True):
                if name not in scored:
                    check = partial(self._same, checksum=checksum) if self.depth == Depth.ALL else _not_empty
                    yield _checked(folder / file_names.CHUNKS / f"{name}{suffix}", check, again)

    def _gathered(self, listing: Path, chunks: Collection[str], again: tuple[Path, ...]) -> Iterator[Checked]:
        """Check the files that the tables were made from by the list of their checksums, unless they changed since."""
        manifest, *samples = again
        listed = _checked(listing, read_gathered, (listing, *samples))
        yield listed
        if listed.problem or not manifest.exists():
            return
        checksums = read_gathered(listing)
        same_split = checksums[f"../../{manifest.name}"] == self.checksums.of(manifest)
        if not same_split and manifest.stat().st_mtime_ns > listing.stat().st_mtime_ns:
            return
        if same_split and chunks and checksums.keys() != _listed_names(chunks):
            yield Checked(listing, "damaged (it lists other files than the pool has)", (listing, *samples))
            return
        for name, checksum in checksums.items():
            path = listing.parent / name
            of_split = name.startswith("..")
            if of_split:
                path = listing.parents[2] / path.name
            stage = file_names.record_name(*(("split",) if of_split else ("classify", path.stem)))
            recorded = recorded_checksum(path, path.with_name(stage))
            if not path.exists() or not recorded:
                check = partial(self._same, checksum=checksum) if self.depth else _not_empty
                yield _checked(path, check, again if of_split else (path, listing, *samples))
            elif recorded != checksum:  # the record has decided whether the file is good: here the list is wrong or old
                yield Checked(listing, f"it has another checksum of {name}", (listing, *samples))

    def results(self, record: Path) -> Iterator[Checked]:
        """Check the files of a sample, as its `run.json` lists them."""
        listed = _checked(record, _result_files)
        yield listed
        if listed.problem:
            return
        for name, file in sorted(_result_files(record).items()):
            check = (
                partial(self._same, checksum=file["sha256"]) if self.depth else partial(_same_size, size=file["bytes"])
            )
            yield _checked(record.with_name(name), check, (record.with_name(name), record))

    def _vectors(self, path: Path, chunk: Chunk | None) -> None:
        """Check a file of vectors: what can be read of it, and of one that points to others every byte."""
        _not_empty(path)
        if self.depth == Depth.ALL:
            _read_vectors(path, chunk)
            merged = path.with_name(file_names.record_name("merge", path.name.split(".")[0]))
            if expected := recorded_checksum(path, merged):
                self._same(path, expected)

    def _written(self, path: Path, record: Path, read: Callable[[Path], object]) -> None:
        """Check a file by the checksum in the record of its job, and read it at full depth or without a checksum."""
        _not_empty(path)
        if self.depth:
            expected = recorded_checksum(path, record)
            if expected:
                self._same(path, expected)
            if self.depth == Depth.ALL:
                read(path)

    def _same(self, path: Path, checksum: str) -> None:
        if self.checksums.of(path) != checksum:
            raise DamagedFileError(_CHANGED)


def read_gathered(path: Path) -> dict[str, str]:
    """Return the checksums of a list as `sha256sum` writes it, by the names of the files.

    Raises:
        DamagedFileError: the file is not such a list, or has names that are not those of scores and tables of a pool.
    """
    try:
        lines = [line.split("  ", 1) for line in path.read_text(encoding="ascii").removesuffix("\n").split("\n")]
        checksums = {name: checksum for checksum, name in lines}
        if not checksums or any(len(bytes.fromhex(checksum)) != 32 for checksum in checksums.values()):
            raise ValueError("no list of checksums")
        scores = checksums.keys() - _listed_names([])
        if len(scores) != len(checksums) - len(_TABLES) or not all(map(_SCORES.fullmatch, scores)):
            raise ValueError("it lists other files than a pool has")
    except ValueError as error:
        raise DamagedFileError(f"{path}: damaged ({error})") from error
    return checksums


def _listed_names(chunks: Iterable[str]) -> set[str]:
    """Return the names that the list of a pool's checksums has, if these are its chunks."""
    return {f"{chunk}{file_names.SCORE_SUFFIX}" for chunk in chunks} | {f"../../{name}" for name in _TABLES}


def _result_files(record: Path) -> dict[str, Any]:
    """Return size and checksum of each file that a `run.json` lists, by its name."""
    files: dict[str, Any] = read_record(record)["files"]
    return files


def _records_by_pool(directory: Path) -> Mapping[Path, list[Path]]:
    """Return the records of the samples whose results come from a pool, by its folder, without damaged ones."""
    records: dict[Path, list[Path]] = defaultdict(list)
    for record in file_names.in_results(directory, file_names.RUN_RECORD):
        if pool := read_job(record).get("pool", {}).get("directory", ""):
            records[directory / pool].append(record)
    return records


def _checked(path: Path, check: Callable[[Path], object], remedy: tuple[Path, ...] = ()) -> Checked:
    try:
        check(path)
    except FileNotFoundError:
        problem = MISSING
    except (VirnucproError, OSError, ValueError, KeyError, TypeError) as error:  # those of pyarrow are among them
        problem = str(error).removeprefix(f"{path}: ").removesuffix(f"; {REMEDY}") or type(error).__name__
    else:
        problem = ""
    return Checked(path, problem, remedy or (path,))


def _read_json(path: Path) -> None:
    json.loads(path.read_text(encoding="utf-8"))


def _not_empty(path: Path) -> None:
    if path.stat().st_size == 0:
        raise DamagedFileError("empty")


def _same_size(path: Path, size: int) -> None:
    if path.stat().st_size != size:
        raise DamagedFileError(f"{path.stat().st_size:,} bytes instead of {size:,}")


def _read_manifest(path: Path) -> None:
    for chunk in read_manifest(path):
        if chunk.geometry != path.parents[1].name:
            raise DamagedFileError(f"chunk {chunk.chunk} is of geometry {chunk.geometry}, not {path.parents[1].name}")


def _read_parquet(path: Path) -> None:
    import pyarrow.parquet as pq  # a start that finds every checksum needs no Arrow

    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for _ in file.iter_batches():
            pass


def _read_vectors(path: Path, chunk: Chunk | None) -> None:
    """Read all vectors of a file, which are those of the chunk, encoder and precision that its path names."""
    from virnucpro_kernels.pool.embedding_file import verify

    provenance = verify(path, path.parent.name)
    if chunk and provenance.protein_fasta_sha256 != chunk.protein_sha256:
        raise DamagedFileError("the vectors are of another chunk")
    held = [content for content in _ENCODERS if getattr(provenance, content)]
    content = path.name.split(".")[1]
    if held != (_ENCODERS if content == "features" else [content]):
        raise DamagedFileError(f"the vectors are not those of {content}, but of {' and '.join(held)}")


def _read_scores(path: Path, chunk: Chunk | None) -> None:
    """Read all scores of a chunk, if the manifest says what they should be; the folder is named after the model."""
    from virnucpro_kernels.pool.scores import ChunkScores

    if chunk:
        ChunkScores(path, chunk, path.parent.name, 0, _ALL_ROWS).below(_ALL_ROWS)
