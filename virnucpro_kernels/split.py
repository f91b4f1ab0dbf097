"""The first stage: the contigs of a pool become windows, frames and length-sorted chunks, in two streaming passes.

The first pass surveys the input: it writes both tables and counts the frames of each length, so that the chunks can be
planned. The second reads the input again and writes each frame to its chunk. In between, memory holds eight bytes a
record (to find duplicate IDs), and for every batch how many frames of which length it has.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from virnucpro_kernels.chunk_files import ChunkFiles
from virnucpro_kernels.chunks import ChunkPlan, plan_chunks
from virnucpro_kernels.errors import VirnucproError
from virnucpro_kernels.manifest import Chunk, write_manifest
from virnucpro_kernels.pool_tables import PoolTables, open_tables
from virnucpro_kernels.problems import Problem
from virnucpro_kernels.records import RecordBatch
from virnucpro_kernels.sample_input import DuplicateIds, SampleInput
from virnucpro_kernels.sequences import SequenceArray
from virnucpro_kernels.shares import Batch, shares
from virnucpro_kernels.streams import needs_spooling, spool
from virnucpro_kernels.survey import STATUSES, survey
from virnucpro_kernels.windows import Geometry
from virnucpro_kernels.workers import Workers

#: Bases of a DNABERT-S token; 4.7 to 5.0 were measured on frames of viruses, bacteria, archaea, plants, vertebrates.
#: Two tokens a frame come on top.
BASES_PER_TOKEN = 4.9

_TASK_BASES = 1 << 21
_TASK_RECORDS = 1 << 14

Int64s = npt.NDArray[np.int64]


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
    """

    contigs: int
    windows: int
    frames: int
    chunks: int
    statuses: dict[str, int]
    protein_tokens: int
    nucleotide_tokens: int
    warnings: list[Problem]


#: Called with the number of the pass (1 or 2), contigs done, and contigs in all (None in the first pass).
Progress = Callable[[int, int, int | None], None]


@dataclass(frozen=True, eq=False)
class _Counts:
    """Frames of each length, int64 (k,) both, of one batch."""

    residues: Int64s
    frames: Int64s


def split_pool(
    samples: Sequence[tuple[str, Path]], directory: Path, options: SplitOptions, progress: Progress
) -> PoolSummary:
    """Split the contigs of `samples` (name and sequence file, `-` for standard input) into `directory`.

    Writes contigs.parquet, windows.parquet, chunks/ and, last, the manifest chunks.tsv. The files depend on the input
    and the options, not on the number of threads.

    Raises:
        InputError: a file cannot be used.
        UsageError: a file changed between the two passes.
        VirnucproError: a worker process died.
    """
    manifest = directory / "chunks.tsv"
    # From here on the other files do not belong to an older manifest any more.
    manifest.unlink(missing_ok=True)
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as exits:
        inputs = [_open(path, directory, options, exits) for _, path in samples]
        workers = exits.enter_context(Workers(options.threads))
        with open_tables(directory, [name for name, _ in samples]) as tables:
            counts = _survey_pool(inputs, tables, workers, options, progress)
        plan = plan_chunks(_sum(counts), chunk_tokens=options.chunk_tokens, min_chunks=options.min_chunks)
        with ChunkFiles(directory / "chunks", len(plan)) as files:
            _write_chunks(inputs, counts, plan, files, workers, options, progress)
            chunks = _describe(plan, files, options.geometry)
        write_manifest(manifest, chunks)
    return PoolSummary(
        tables.contigs,
        tables.windows,
        tables.frames,
        len(chunks),
        dict(zip(STATUSES, tables.statuses.tolist(), strict=True)),
        sum(chunk.protein_tokens for chunk in chunks),
        sum(chunk.nucleotide_tokens for chunk in chunks),
        [warning for records in inputs for warning in records.warnings],
    )


def _open(path: Path, directory: Path, options: SplitOptions, exits: ExitStack) -> SampleInput:
    name = "standard input" if str(path) == "-" else str(path)
    if needs_spooling(path):
        copy = directory / ".spooled"
        exits.callback(copy.unlink, missing_ok=True)
        spool(path, copy)
        path = copy
    return SampleInput(path, duplicate_ids=options.duplicate_ids, name=name)


def _survey_pool(
    inputs: Sequence[SampleInput], tables: PoolTables, workers: Workers, options: SplitOptions, progress: Progress
) -> list[_Counts]:
    """The first pass. Returns the counts of each piece of the input, in order."""

    def tasks() -> Iterator[tuple[tuple[int, RecordBatch], SequenceArray]]:
        for sample, records in enumerate(inputs):
            for batch in records.first_pass():
                for piece in _pieces(batch):
                    yield (sample, piece), piece.sequences

    counts = []
    work = partial(survey, geometry=options.geometry, min_length=options.min_length)
    for (sample, piece), found in workers.map(work, tasks()):
        tables.append(sample, piece, found)
        counts.append(_Counts(found.residues, found.frames_of_length))
        progress(1, tables.contigs, None)
    return counts


def _write_chunks(
    inputs: Sequence[SampleInput],
    counts: Sequence[_Counts],
    plan: ChunkPlan,
    files: ChunkFiles,
    workers: Workers,
    options: SplitOptions,
    progress: Progress,
) -> None:
    """The second pass."""

    def tasks() -> Iterator[tuple[int, Batch]]:
        first_row = 0
        next_place = np.concatenate([[0], np.cumsum(_sum(counts))])
        pieces = (piece for records in inputs for batch in records.second_pass() for piece in _pieces(batch))
        for piece, count in zip(pieces, counts, strict=False):
            places = next_place[count.residues]
            yield len(piece), Batch(piece.contigs, piece.sequences, first_row, count.residues, places)
            next_place[count.residues] += count.frames
            first_row += int(count.frames.sum())

    done, total = 0, sum(records.records for records in inputs)
    work = partial(shares, borders=plan.borders, geometry=options.geometry, min_length=options.min_length)
    for contigs, found in workers.map(work, tasks()):
        for share in found:
            files.append(share)
        done += contigs
        progress(2, done, total)
    if files.rows != np.diff(plan.borders).tolist():
        raise VirnucproError("the second reading of the input gave other frames than the first: split it again")


def _pieces(batch: RecordBatch) -> Iterator[RecordBatch]:
    """Cut a batch into pieces small enough to share out, of one contig at least."""
    offsets = batch.sequences.offsets
    first = 0
    while first < len(batch):
        last = int(np.searchsorted(offsets, offsets[first] + _TASK_BASES, side="right")) - 1
        last = min(max(last, first + 1), first + _TASK_RECORDS)
        yield RecordBatch(
            batch.first_record + first,
            batch.contigs[first:last],
            batch.descriptions[first:last],
            batch.sequences.slice(first, last),
        )
        first = last


def _sum(counts: Sequence[_Counts]) -> Int64s:
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
            nucleotide_tokens=round(files.bases[number] / BASES_PER_TOKEN) + 2 * files.rows[number],
            min_residues=int(plan.min_residues[number]),
            max_residues=int(plan.max_residues[number]),
            nucleotide_sha256=files.checksums(number)[0],
            protein_sha256=files.checksums(number)[1],
            geometry=str(geometry),
        )
        for number in range(len(plan))
    ]
