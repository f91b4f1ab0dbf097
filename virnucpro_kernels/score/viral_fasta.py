"""`viral.fna.gz` and `viral_regions.fna.gz`: what is viral, with its scores, read again from the input."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.pool.file_names import REGION_FASTA, VIRAL_FASTA
from virnucpro_kernels.score.regions import POSITIONS, Regions
from virnucpro_kernels.score.sample_reader import ContigBatch, Sources, read_id_batches
from virnucpro_kernels.score.scoring import TIERS, ContigScores
from virnucpro_kernels.score.tables import FAST_LEVEL, deterministic_gzip
from virnucpro_kernels.sequences.arrays import Int64s
from virnucpro_kernels.sequences.records import RecordBatch, read_batches

_LINE_BASES = 60


class ViralFiles(ExitStack):
    """Context manager that writes the contigs of a sample that are called viral, and the viral regions of all contigs.

    The input is read along with the contigs; both files are complete after `finish`.

    Args:
        directory: Folder for the two gzip-compressed FASTA files.
        sources: Files of the sample, with its inputs.
        sample: Name of the sample.
        model: Name of the model in the headers.

    Every method raises UsageError where the inputs no longer hold what was split.
    """

    def __init__(self, directory: Path, sources: Sources, sample: str, model: str) -> None:
        super().__init__()
        self._sources, self._sample, self._model = sources, sample, model
        self._viral = self.enter_context(deterministic_gzip(directory / VIRAL_FASTA, FAST_LEVEL))
        self._regions = self.enter_context(deterministic_gzip(directory / REGION_FASTA, FAST_LEVEL))
        self._batches = ((path, batch) for path in sources.inputs for batch in read_batches(path))
        self._rest: tuple[Path, RecordBatch] | None = None
        self._records = 0

    def add(self, batch: ContigBatch, contigs: ContigScores, regions: Regions) -> None:
        """Append what is viral among the contigs of a batch."""
        names, p_virus = batch.contig.to_pylist(), contigs.p_virus.astype(np.float32)
        first = 0
        for source, records in self._take(len(batch)):
            stop = first + len(records)
            _check_same(source, records, names[first:stop], batch.length[first:stop])
            viral = first + np.flatnonzero(contigs.tier[first:stop] >= 0)
            facts = [
                f"{names[index]} p_virus={p:.6f} tier={TIERS[tier]} model={self._model}"
                for index, p, tier in zip(
                    viral.tolist(), p_virus[viral].tolist(), contigs.tier[viral].tolist(), strict=True
                )
            ]
            which = (viral - first).tolist()
            whole = {index: _wrapped(records.sequences[index]) for index in which}
            self._viral.write(_fasta(facts, records, which, whole.values()))
            self._add_regions(regions, records, names, first, whole)
            first = stop

    def _add_regions(
        self, regions: Regions, records: RecordBatch, names: Sequence[str], first: int, whole: Mapping[int, bytes]
    ) -> None:
        """Append the regions in some records; the first of these is contig `first` of the batch.

        Most regions are whole contigs called viral, the lines of which `whole` has by the index of the record.
        """
        here = slice(*np.searchsorted(regions.contig, [first, first + len(records)]).tolist())
        which, sequences = (regions.contig[here] - first).tolist(), records.sequences
        places = (
            regions.start[here],
            regions.end[here],
            regions.position[here],
            regions.p_virus[here].astype(np.float32),
        )
        rows = list(zip(which, *(values.tolist() for values in places), strict=True))
        facts = [
            f"{names[first + index]}:{start + 1}-{end} p_virus={p:.6f} position={POSITIONS[position]}"
            f" model={self._model}"
            for index, start, end, position, p in rows
        ]
        bodies = [
            whole[index] if POSITIONS[position] == "whole" else _wrapped(sequences[index][start:end])
            for index, start, end, position, _ in rows
        ]
        self._regions.write(_fasta(facts, records, which, bodies))

    def finish(self) -> None:
        """Make sure that the inputs end with the last contig."""
        if more := self._rest or next(self._batches, None):
            raise UsageError(_changed(more[0], f"has more than the {self._records:,} records"))

    def _take(self, count: int) -> Iterator[tuple[Path, RecordBatch]]:
        """Yield the next `count` records, as they lie in the files."""
        while count:
            following = self._rest or next(self._batches, None)
            if following is None:
                split = sum(map(len, read_id_batches(self._sources, self._sample)))
                raise UsageError(
                    _changed(self._sources.inputs[-1], f"has {self._records:,} instead of the {split:,} records")
                )
            source, records = following
            taken = min(count, len(records))
            self._rest = (source, _part(records, taken, len(records))) if taken < len(records) else None
            self._records += taken
            count -= taken
            yield source, _part(records, 0, taken)


def _part(records: RecordBatch, start: int, stop: int) -> RecordBatch:
    """Return the records `start` to `stop` of a batch."""
    return replace(
        records,
        first_record=records.first_record + start,
        contigs=records.contigs[start:stop],
        descriptions=records.descriptions[start:stop],
        sequences=records.sequences.slice(start, stop),
    )


def _fasta(facts: Sequence[str], records: RecordBatch, which: Sequence[int], bodies: Iterable[bytes]) -> bytes:
    """Return entries in FASTA, r of them.

    Args:
        facts: Header of each, up to the description.
        records: Records from which they are taken.
        which: Index of each one's record.
        bodies: Lines of each.
    """
    entries = []
    for fact, index, body in zip(facts, which, bodies, strict=True):
        entries += [_header(f"{fact} {records.descriptions[index]}"), body]
    return b"".join(entries)


def _check_same(source: Path, records: RecordBatch, names: Sequence[str], lengths: Int64s) -> None:
    """Refuse records that have not the IDs and lengths of those that were split."""
    if not np.array_equal(records.sequences.lengths, lengths):
        raise UsageError(_changed(source, "holds sequences of other lengths than those"))
    if names == records.contigs:
        return
    for name, contig in zip(names, records.contigs, strict=True):
        if not name.startswith(contig):  # a repeated ID was given a suffix
            raise UsageError(_changed(source, f"has {contig!r} instead of the {name!r}"))


def fasta_entry(header: str, sequence: bytes) -> bytes:
    """Return a record in FASTA, 60 bases a line."""
    return _header(header) + _wrapped(sequence)


def _header(text: str) -> bytes:
    return f">{text.rstrip(' ')}\n".encode()


def _wrapped(sequence: bytes) -> bytes:
    """Return a sequence in lines of 60 bases."""
    return b"\n".join([*[sequence[at : at + _LINE_BASES] for at in range(0, len(sequence), _LINE_BASES)], b""])


def _changed(path: Path, how: str) -> str:
    return f"{path} {how} that were split: the input has changed. Start the run again from the split"
