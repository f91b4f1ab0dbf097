"""The first stage: the contigs of a pool become windows, frames and length-sorted chunks, in two streaming passes.

The first reading checks and surveys the input: it writes the table of windows and counts the frames of each length, so
that the chunks can be planned. The second writes the table of contigs (some IDs may have to be renamed, which only the
first can tell) and each frame to its chunk. In between, memory holds eight bytes a record, to find duplicate IDs, and
for every block of the input how many frames of which length it has.

A sample of several whose input cannot be used is left out, and the first reading begins anew without it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import remove_leftovers
from virnucpro_kernels.pool.file_names import CHUNKS, CONTIGS, MANIFEST, UNUSABLE, WINDOWS
from virnucpro_kernels.pool.labels import STATUSES
from virnucpro_kernels.pool.manifest import Chunk, write_manifest
from virnucpro_kernels.pool.tokens import BASES_PER_NUCLEOTIDE_TOKEN, SPECIAL_TOKENS
from virnucpro_kernels.pool.unusable import (
    NothingUsableError,
    Stamp,
    Unusable,
    is_own_fault,
    stamp,
    write_unusable,
)
from virnucpro_kernels.sequences.arrays import Int64s
from virnucpro_kernels.sequences.formats import Block
from virnucpro_kernels.sequences.problems import InputError, Problem
from virnucpro_kernels.sequences.sample_input import DuplicateIds, SampleInput
from virnucpro_kernels.sequences.streams import needs_spooling, spool
from virnucpro_kernels.split.chunk_files import ChunkFiles
from virnucpro_kernels.split.chunk_plan import ChunkPlan, plan_chunks
from virnucpro_kernels.split.first_pass import FrameCounts, survey
from virnucpro_kernels.split.second_pass import PlacedBlock, share_out
from virnucpro_kernels.split.windows import Geometry
from virnucpro_kernels.split.workers import Workers

if TYPE_CHECKING:
    from virnucpro_kernels.split.pool_tables import ContigTable, WindowTable


@dataclass(frozen=True)
class SplitOptions:
    """How to split a pool.

    Attributes:
        geometry: window length and layout.
        min_length: contigs with fewer bases get no window.
        duplicate_ids: what to do about an ID that occurs twice in a sample.
        chunk_tokens: protein tokens of a chunk.
        min_chunks: chunks there shall be at least.
        threads: processes that work.
    """

    geometry: Geometry
    min_length: int = 3
    duplicate_ids: DuplicateIds = "error"
    chunk_tokens: int = 32_000_000
    min_chunks: int = 1
    threads: int = 1


@dataclass(frozen=True)
class PoolSummary:
    """What a pool holds.

    Attributes:
        contigs, windows, frames, chunks: numbers.
        statuses: contigs of each status, in the order of `STATUSES`.
        protein_tokens: exact.
        nucleotide_tokens: estimated.
        warnings: what is odd about the input.
        unusable: samples that were left out.
    """

    contigs: int
    windows: int
    frames: int
    chunks: int
    statuses: dict[str, int]
    protein_tokens: int
    nucleotide_tokens: int
    warnings: list[Problem]
    unusable: list[Unusable]


#: How much longer the second reading takes than the first; for estimates of the time left.
_SECOND_READING = 2

#: Called with the work done and all work, in bytes of the input of the first reading.
Progress = Callable[[int, int], None]


def split_pool(
    samples: Sequence[tuple[str, Path]], directory: Path, options: SplitOptions, progress: Progress
) -> PoolSummary:
    """Split the contigs of `samples` (name and sequence file, `-` for standard input) into `directory`.

    Writes contigs.parquet, windows.parquet, chunks/, unusable.tsv and, last, the manifest chunks.tsv. The files depend
    on the input and the options, not on the number of threads. Samples whose file cannot be used stand in unusable.tsv
    and nowhere else.

    Raises:
        InputError: no file can be used; NothingUsableError where there are several.
        UsageError: a file changed between the two readings.
        VirnucproError: a worker process died.
    """
    manifest = directory / MANIFEST
    # From here on the other files do not belong to an older manifest any more.
    manifest.unlink(missing_ok=True)
    directory.mkdir(parents=True, exist_ok=True)
    copies = [directory / f".input-{number}" for number in range(len(samples))]
    made = [directory / name for name in (CONTIGS, WINDOWS, CHUNKS, UNUSABLE, MANIFEST)]
    remove_leftovers(*copies, *made)
    with ExitStack() as exits:
        workers = exits.enter_context(Workers(options.threads))
        # While the processes start: Arrow takes as long to load.
        from virnucpro_kernels.split.pool_tables import open_contigs

        inputs = [_readable(*sample, copy, exits) for sample, copy in zip(samples, copies, strict=True)]
        splitter, counts, windows, unusable = _survey_usable(inputs, directory, workers, options, progress)
        left_out = {found.sample for found in unusable}
        plan = plan_chunks(_sum(counts), chunk_tokens=options.chunk_tokens, min_chunks=options.min_chunks)
        with (
            open_contigs(directory, [name for name, _ in samples if name not in left_out]) as contigs,
            ChunkFiles(directory / CHUNKS, len(plan)) as files,
        ):
            splitter.share_out(counts, plan, contigs, files)
            if (contigs.contigs, files.rows) != (windows.contigs, np.diff(plan.borders).tolist()):
                raise UsageError("an input file changed while it was being read: start again when it is complete")
        chunks = _describe(plan, files, options.geometry)
        write_unusable(directory / UNUSABLE, unusable)
        write_manifest(manifest, chunks)
    return PoolSummary(
        contigs.contigs,
        windows.windows,
        windows.frames,
        len(chunks),
        dict(zip(STATUSES, contigs.statuses.tolist(), strict=True)),
        sum(chunk.protein_tokens for chunk in chunks),
        sum(chunk.nucleotide_tokens for chunk in chunks),
        splitter.warnings,
        unusable,
    )


@dataclass(frozen=True)
class _File:
    """A sample's file: where it can be read, what messages call it, and its stamp before it was read."""

    sample: str
    path: Path
    name: str
    stamp: Stamp


def _readable(sample: str, path: Path, copy: Path, exits: ExitStack) -> _File:
    """Copy what can be read only once to `copy` for the time being."""
    name = "standard input" if str(path) == "-" else str(path)
    before = stamp(path)
    if needs_spooling(path):
        exits.callback(copy.unlink, missing_ok=True)
        spool(path, copy)
        path = copy
    return _File(sample, path, name, before)


def _survey_usable(
    files: Sequence[_File], directory: Path, workers: Workers, options: SplitOptions, progress: Progress
) -> "tuple[_Splitter, list[FrameCounts], WindowTable, list[Unusable]]":
    """The first reading, begun anew without each sample that turns out to be unusable."""
    from virnucpro_kernels.split.pool_tables import open_windows

    errors: dict[_File, InputError] = {}
    while len(errors) < len(files):
        left = [file for file in files if file not in errors]
        try:
            inputs = [SampleInput(file.path, duplicate_ids=options.duplicate_ids, name=file.name) for file in left]
            splitter = _Splitter(inputs, workers, options, progress)
            with open_windows(directory) as windows:
                counts = splitter.survey(windows)
        except InputError as error:
            # Samples that share a file share its faults.
            blamed = {file: error for file in left if file.name == error.problems[0].source}
            if len(files) == 1 or not blamed or not is_own_fault(error):
                raise
            errors |= blamed
            continue
        return splitter, counts, windows, _unusable(files, errors)
    raise NothingUsableError(_unusable(files, errors), dict.fromkeys(errors[file] for file in files))


def _unusable(files: Sequence[_File], errors: Mapping[_File, InputError]) -> list[Unusable]:
    """The files that have errors, in the order of the samples."""
    return [Unusable(file.sample, *file.stamp, str(errors[file])) for file in files if file in errors]


class _Splitter:
    """The two readings of the inputs."""

    def __init__(
        self, inputs: Sequence[SampleInput], workers: Workers, options: SplitOptions, progress: Progress
    ) -> None:
        self._inputs, self._workers, self._progress = inputs, workers, progress
        self._geometry, self._min_length = options.geometry, options.min_length
        self._bytes_before = np.cumsum([0, *(records.bytes for records in inputs)]).tolist()
        self._bytes = self._bytes_before[-1]

    @property
    def warnings(self) -> list[Problem]:
        """What is odd about the inputs, after the first reading."""
        return [warning for records in self._inputs for warning in records.warnings]

    def survey(self, table: "WindowTable") -> list[FrameCounts]:
        """The first reading. Returns the counts of each block, in order."""

        def tasks() -> Iterator[tuple[tuple[int, int], Block]]:
            for number, records in enumerate(self._inputs):
                for block in records.first_blocks():
                    yield (number, block.position), block

        work = partial(survey, geometry=self._geometry, min_length=self._min_length)
        counts, closed = [], 0
        for (number, position), found in self._workers.map(work, tasks()):
            while closed < number:
                self._inputs[closed].close()
                closed += 1
            self._inputs[number].note(found.check)
            table.append(found.check.records, found.windows, found.masks)
            counts.append(found.counts)
            self._progress(self._bytes_before[number] + position, (1 + _SECOND_READING) * self._bytes)
        for records in self._inputs[closed:]:
            records.close()
        return counts

    def share_out(
        self, counts: Sequence[FrameCounts], plan: ChunkPlan, table: "ContigTable", files: ChunkFiles
    ) -> None:
        """The second reading."""

        def tasks() -> Iterator[tuple[int, PlacedBlock]]:
            first_row = 0
            next_place = np.concatenate([[0], np.cumsum(_sum(counts))])
            blocks = (
                (number, block) for number, records in enumerate(self._inputs) for block in records.second_blocks()
            )
            for (number, block), count in zip(blocks, counts, strict=False):
                yield number, PlacedBlock(block, first_row, count, next_place[count.residues])
                next_place[count.residues] += count.frames
                first_row += int(count.frames.sum())

        contigs = sum(records.records for records in self._inputs)
        work = partial(share_out, borders=plan.borders, geometry=self._geometry, min_length=self._min_length)
        for number, (lines, shares) in self._workers.map(work, tasks()):
            table.append(number, lines)
            for share in shares:
                files.append(share)
            done = _SECOND_READING * self._bytes * table.contigs // contigs
            self._progress(self._bytes + done, (1 + _SECOND_READING) * self._bytes)


def _sum(counts: Sequence[FrameCounts]) -> Int64s:
    """int64 (longest + 1,): frames of each length of the protein, in all."""
    longest = max((int(count.residues[-1]) for count in counts if len(count.residues)), default=0)
    total = np.zeros(longest + 1, np.int64)
    for count in counts:
        total[count.residues] += count.frames
    return total


def _describe(plan: ChunkPlan, files: ChunkFiles, geometry: Geometry) -> list[Chunk]:
    """The manifest's lines."""
    return [
        Chunk(
            chunk=files.names[number],
            rows=files.rows[number],
            protein_tokens=int(plan.tokens[number]),
            nucleotide_tokens=round(files.bases[number] / BASES_PER_NUCLEOTIDE_TOKEN)
            + SPECIAL_TOKENS * files.rows[number],
            min_residues=int(plan.min_residues[number]),
            max_residues=int(plan.max_residues[number]),
            nucleotide_sha256=files.checksums(number)[0],
            protein_sha256=files.checksums(number)[1],
            geometry=str(geometry),
        )
        for number in range(len(plan))
    ]
