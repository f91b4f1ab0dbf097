"""The first stage: the contigs of a pool become windows, frames and length-sorted chunks, in two streaming passes.

The first pass checks the input, writes the table of windows and counts the frames of each length, so that the chunks
can be planned. The second pass writes the table of contigs (some IDs may have to be renamed, which is known only after
the first pass) and each frame to its chunk. In between, memory holds eight bytes a record, to find duplicate IDs, and
for every block of the input how many frames of which length it has.

Where the input of one sample of several cannot be used, the sample is left out, and the first pass begins anew without
it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import remove_leftovers
from virnucpro_kernels.pool.file_names import CHUNKS, CONTIGS, MANIFEST, UNUSABLE, WINDOWS
from virnucpro_kernels.pool.geometry import Geometry
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
from virnucpro_kernels.sequences.formats import FileBlock
from virnucpro_kernels.sequences.problems import InputError, Problem
from virnucpro_kernels.sequences.sample_input import DuplicateIds, SampleInput
from virnucpro_kernels.sequences.streams import name_of, needs_spooling, spool
from virnucpro_kernels.split.chunk_files import ChunkFiles
from virnucpro_kernels.split.chunk_plan import ChunkPlan, plan_chunks
from virnucpro_kernels.split.first_pass import FrameCounts, count_frames
from virnucpro_kernels.split.second_pass import INPUT_CHANGED, RankedBlock, extract_frames
from virnucpro_kernels.split.workers import Workers

if TYPE_CHECKING:
    from virnucpro_kernels.split.pool_tables import ContigTable, WindowTable


@dataclass(frozen=True)
class SplitOptions:
    """Options of the split of a pool.

    Attributes:
        geometry: Window length and layout.
        min_length: Smallest number of bases of a contig that gets windows.
        duplicate_ids: `error` to refuse an ID that occurs twice in a sample, `suffix` to number the repeats.
        chunk_tokens: Number of protein tokens of a chunk.
        min_chunks: Smallest number of chunks.
        threads: Number of processes.
        allow_empty: Whether a pool of which no sample can be used is made, without contigs, instead of an error.
    """

    geometry: Geometry
    min_length: int
    duplicate_ids: DuplicateIds
    chunk_tokens: int
    min_chunks: int
    threads: int
    allow_empty: bool = False


@dataclass(frozen=True)
class PoolSummary:
    """Content of a pool.

    Attributes:
        contigs, windows, frames, chunks: Numbers of each.
        statuses: Number of contigs of each status, in the order of `STATUSES`.
        protein_tokens: Number of protein tokens.
        nucleotide_tokens: Number of nucleotide tokens, estimated.
        warnings: Warnings about the input.
        unusable: Samples that were left out.
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


#: Duration of the second pass, with that of the first as unit; for estimates of the time left.
_SECOND_PASS = 2

#: Function that is called with the work done and all work, both in bytes of the input.
Progress = Callable[[int, int], None]


def split_pool(
    samples: Sequence[tuple[str, Path]], directory: Path, options: SplitOptions, progress: Progress
) -> PoolSummary:
    """Split the contigs of a pool.

    Writes contigs.parquet, windows.parquet, chunks/, unusable.tsv and, last, the manifest chunks.tsv. The files depend
    on the input and the options, not on the number of threads. Samples whose file cannot be used stand in unusable.tsv
    and nowhere else.

    Args:
        samples: Name and sequence file of each sample; `-` is standard input. A sample with two files, one after the
            other, has paired reads: IDs of the first file get `/1`, those of the second `/2`.
        directory: Folder of the pool.
        options: Options of the split.
        progress: Function to call now and then.

    Raises:
        InputError: no file can be used; NothingUsableError where there are several. Neither with `allow_empty`.
        UsageError: a file changed between the two passes.
        VirnucproError: a worker process died.
    """
    manifest = directory / MANIFEST
    # From here on the other files do not belong to an older manifest any more.
    manifest.unlink(missing_ok=True)
    directory.mkdir(parents=True, exist_ok=True)
    copies = [directory / f".input-{number}" for number in range(len(samples))]
    remove_leftovers(*copies, *(directory / name for name in (CONTIGS, WINDOWS, CHUNKS, UNUSABLE, MANIFEST)))
    with ExitStack() as exits:
        workers = exits.enter_context(Workers(options.threads))
        mates = _mates([sample for sample, _ in samples])
        files = [
            _readable(*sample, mate, copy, exits) for sample, mate, copy in zip(samples, mates, copies, strict=True)
        ]
        passes, windows, unusable = _count_usable(files, directory, workers, options, progress)
        chunks, contigs = _write_chunks(passes, windows, directory, options)
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
        passes.warnings,
        unusable,
    )


@dataclass(frozen=True)
class _File:
    """The sequence file of a sample.

    Attributes:
        sample: Name of the sample.
        path: File to read.
        name: Name of the file in messages.
        mate: Suffix of the IDs of paired reads, `/1` or `/2`; otherwise empty.
        stamp: Stamp of the file before it was read.
    """

    sample: str
    path: Path
    name: str
    mate: str
    stamp: Stamp


def _mates(samples: Sequence[str]) -> list[str]:
    """Return the suffix of the IDs in each file, given the name of its sample."""
    return [
        f"/{1 + samples[:number].count(sample)}" if samples.count(sample) > 1 else ""
        for number, sample in enumerate(samples)
    ]


def _readable(sample: str, path: Path, mate: str, copy: Path, exits: ExitStack) -> _File:
    """Return the file of a sample; one that can be read only once is copied to `copy` until `exits` is closed."""
    name, before = name_of(path), stamp([path])
    if needs_spooling(path):
        exits.callback(copy.unlink, missing_ok=True)
        spool(path, copy)
        path = copy
    return _File(sample, path, name, mate, before)


def _count_usable(
    files: Sequence[_File], directory: Path, workers: Workers, options: SplitOptions, progress: Progress
) -> "tuple[_Passes, WindowTable, list[Unusable]]":
    """Run the first pass, and begin it anew without each sample that turns out to be unusable."""
    from virnucpro_kernels.split.pool_tables import open_windows  # loads Arrow, while the processes start

    errors: dict[_File, InputError] = {}
    while len(errors) < len(files) or options.allow_empty:
        left = [file for file in files if file not in errors]
        try:
            inputs = [
                SampleInput(file.path, duplicate_ids=options.duplicate_ids, name=file.name, mate=file.mate)
                for file in left
            ]
            passes = _Passes([file.sample for file in left], inputs, workers, options, progress)
            with open_windows(directory) as windows:
                passes.count_frames(windows)
        except InputError as error:
            # Samples of one file have its problems in common, as have the two files of a sample.
            blamed = {file.sample for file in left if file.name == error.problems[0].source}
            alone = len({file.sample for file in files}) == 1 and not options.allow_empty
            if alone or not blamed or not is_own_fault(error):
                raise
            errors |= {file: error for file in left if file.sample in blamed}
            continue
        return passes, windows, _unusable(files, errors)
    raise NothingUsableError(_unusable(files, errors), dict.fromkeys(errors[file] for file in files))


def _unusable(files: Sequence[_File], errors: Mapping[_File, InputError]) -> list[Unusable]:
    """Return the samples that have errors, in their order."""
    found: dict[str, list[_File]] = {}
    for file in files:
        if file in errors:
            found.setdefault(file.sample, []).append(file)
    return [
        Unusable(
            sample,
            sum(size for size, _ in (file.stamp for file in of_sample)),
            max(changed for _, changed in (file.stamp for file in of_sample)),
            str(errors[of_sample[0]]),
        )
        for sample, of_sample in found.items()
    ]


def _write_chunks(
    passes: "_Passes", windows: "WindowTable", directory: Path, options: SplitOptions
) -> "tuple[list[Chunk], ContigTable]":
    """Plan the chunks, run the second pass, and return the rows of the manifest and the table of contigs."""
    from virnucpro_kernels.split.pool_tables import open_contigs

    plan = plan_chunks(_sum(passes.counts), chunk_tokens=options.chunk_tokens, min_chunks=options.min_chunks)
    with (
        open_contigs(directory, list(dict.fromkeys(passes.samples))) as contigs,
        ChunkFiles(directory / CHUNKS, len(plan)) as files,
    ):
        passes.write_frames(plan, contigs, files)
        if (contigs.contigs, files.rows) != (windows.contigs, np.diff(plan.borders).tolist()):
            raise UsageError(INPUT_CHANGED)
    return _describe(plan, files, options.geometry), contigs


class _Passes:
    """The two passes over the inputs.

    Attributes:
        samples: Name of the sample of each file.
        counts: Number of frames by length of each block, in the order of the input, after the first pass.
    """

    def __init__(
        self,
        samples: Sequence[str],
        inputs: Sequence[SampleInput],
        workers: Workers,
        options: SplitOptions,
        progress: Progress,
    ) -> None:
        self.samples = samples
        self.counts: list[FrameCounts] = []
        self._inputs, self._workers, self._progress = inputs, workers, progress
        self._geometry, self._min_length = options.geometry, options.min_length
        self._bytes_before = np.cumsum([0, *(records.bytes for records in inputs)]).tolist()
        self._bytes = self._bytes_before[-1]

    @property
    def warnings(self) -> list[Problem]:
        """Warnings about the inputs, after the first pass."""
        found = [warning for records in self._inputs for warning in records.warnings]
        for (sample, first), (other, second) in pairwise(zip(self.samples, self._inputs, strict=True)):
            if sample == other and first.records != second.records:
                numbers = f"{second.records:,} records, but the first file of its paired reads has {first.records:,}"
                found.append(Problem("warning", "mates", second.name, f"the file has {numbers}"))
        return found

    def count_frames(self, table: "WindowTable") -> None:
        """Run the first pass."""

        def tasks() -> Iterator[tuple[tuple[int, int], FileBlock]]:
            for number, records in enumerate(self._inputs):
                for block in records.first_blocks():
                    yield (number, block.position), block

        work = partial(count_frames, geometry=self._geometry, min_length=self._min_length)
        closed = 0
        for (number, position), found in self._workers.map(work, tasks()):
            while closed < number:
                self._inputs[closed].close()
                closed += 1
            self._inputs[number].note(found.check)
            table.append(found.check.records, found.windows, found.masks)
            self.counts.append(found.counts)
            self._progress(self._bytes_before[number] + position, (1 + _SECOND_PASS) * self._bytes)
        for records in self._inputs[closed:]:
            records.close()

    def write_frames(self, plan: ChunkPlan, table: "ContigTable", files: ChunkFiles) -> None:
        """Run the second pass."""

        def tasks() -> Iterator[tuple[int, RankedBlock]]:
            first_row = 0
            # For each length, the rank of the next frame of that length in the order of all frames by length and row.
            next_rank = np.concatenate([[0], np.cumsum(_sum(self.counts))])
            blocks = (
                (number, block) for number, records in enumerate(self._inputs) for block in records.second_blocks()
            )
            for (number, block), count in zip(blocks, self.counts, strict=False):
                yield number, RankedBlock(block, first_row, count, next_rank[count.residues])
                next_rank[count.residues] += count.frames
                first_row += int(count.frames.sum())

        contigs = sum(records.records for records in self._inputs)
        index_of = {sample: index for index, sample in enumerate(dict.fromkeys(self.samples))}
        work = partial(extract_frames, borders=plan.borders, geometry=self._geometry, min_length=self._min_length)
        for number, (lines, pieces) in self._workers.map(work, tasks()):
            table.append(index_of[self.samples[number]], lines)
            for piece in pieces:
                files.append(piece)
            done = _SECOND_PASS * self._bytes * table.contigs // contigs
            self._progress(self._bytes + done, (1 + _SECOND_PASS) * self._bytes)


def _sum(counts: Sequence[FrameCounts]) -> Int64s:
    """Return the number of all frames of each length of the protein, int64 (longest + 1,)."""
    longest = max((int(count.residues[-1]) for count in counts if len(count.residues)), default=0)
    total = np.zeros(longest + 1, np.int64)
    for count in counts:
        total[count.residues] += count.frames
    return total


def _describe(plan: ChunkPlan, files: ChunkFiles, geometry: Geometry) -> list[Chunk]:
    """Return the rows of the manifest."""
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
