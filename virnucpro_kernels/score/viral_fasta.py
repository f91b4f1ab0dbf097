"""`viral.fna.gz` and `viral_regions.fna.gz`: what is viral, with its scores, read again from the input."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.pool.file_names import REGION_FASTA, VIRAL_FASTA
from virnucpro_kernels.score.regions import POSITIONS, Regions
from virnucpro_kernels.score.sample_reader import Sources, read_ids
from virnucpro_kernels.score.scoring import TIERS, ContigScores, Evidence
from virnucpro_kernels.score.tables import FAST_LEVEL, deterministic_gzip
from virnucpro_kernels.sequences.records import RecordBatch, read_batches

_LINE_BASES = 60
_CONTIG = np.dtype([("p_virus", "f4"), ("tier", "i1")])
_REGION = np.dtype([("contig", "i8"), ("start", "i8"), ("end", "i8"), ("position", "i1"), ("p_virus", "f4")])


class Findings:
    """What is viral in a sample, gathered batch by batch: five bytes of each contig, and 29 of each region.

    Args:
        with_evidence: Whether to keep the evidence as well, 32 bytes of each contig; those of reads decide about pairs.
    """

    def __init__(self, *, with_evidence: bool = False) -> None:
        self._evidence: list[Evidence] | None = [] if with_evidence else None
        self._contigs = [np.empty(0, _CONTIG)]
        self._regions = [np.empty(0, _REGION)]
        self._count = 0

    def add(self, contigs: ContigScores, regions: Regions) -> None:
        """Add a batch."""
        places = (self._count + regions.contig, regions.start, regions.end, regions.position, regions.p_virus)
        self._contigs.append(np.rec.fromarrays([contigs.p_virus, contigs.tier], _CONTIG))
        self._regions.append(np.rec.fromarrays(places, _REGION))
        self._count += len(contigs.tier)
        if self._evidence is not None:
            self._evidence.append(contigs.evidence.compact())

    def contigs(self) -> npt.NDArray[Any]:
        """Return `p_virus` and `tier` of each contig, (n,); the tier is negative where it is not called viral."""
        return np.concatenate(self._contigs)

    def evidence(self) -> Evidence | None:
        """Return the evidence of each contig, (n,); None where it was not to be kept."""
        return None if self._evidence is None else Evidence.joined(self._evidence)

    def regions(self) -> npt.NDArray[Any]:
        """Return number of the `contig`, `start`, `end`, `position` and `p_virus` of each viral region, (r,)."""
        return np.concatenate(self._regions)


def write_viral(directory: Path, sources: Sources, sample: str, findings: Findings, model: str) -> None:
    """Write the contigs of a sample that are called viral, and the viral regions of all its contigs.

    Args:
        directory: Folder for the two gzip-compressed FASTA files.
        sources: Files of the sample.
        sample: Name of the sample.
        findings: What is viral.
        model: Name of the model in the headers.

    Raises:
        UsageError: the files no longer hold what was split.
    """
    records, contigs, regions = read_ids(sources, sample), findings.contigs(), findings.regions()
    with (
        deterministic_gzip(directory / VIRAL_FASTA, FAST_LEVEL) as viral,
        deterministic_gzip(directory / REGION_FASTA, FAST_LEVEL) as parts,
    ):
        first = 0
        for source, batch in ((given, batch) for given in sources.inputs for batch in read_batches(given)):
            stop = first + len(batch)
            if stop > len(contigs):
                raise UsageError(_changed(source, f"has more than the {len(contigs):,} records"))
            table = records.take(len(batch))
            names = table["contig"].to_pylist()
            _check_same(source, batch, names, table["length"].to_pylist())
            viral.write(b"".join(_contigs(batch, names, contigs[first:stop], model)))
            of_batch = slice(*np.searchsorted(regions["contig"], [first, stop]).tolist())
            parts.write(b"".join(_regions(batch, names, regions[of_batch], first, model)))
            first = stop
        if first != len(contigs):
            raise UsageError(_changed(sources.inputs[-1], f"has {first:,} instead of the {len(contigs):,} records"))


def _contigs(batch: RecordBatch, names: Sequence[str], contigs: npt.NDArray[Any], model: str) -> Iterator[bytes]:
    """Yield the contigs of a batch that are called viral, in FASTA."""
    for index in np.flatnonzero(contigs["tier"] >= 0).tolist():
        facts = f"p_virus={contigs['p_virus'][index]:.6f} tier={TIERS[contigs['tier'][index]]} model={model}"
        yield fasta_entry(f"{names[index]} {facts} {batch.descriptions[index]}", batch.sequences[index])


def _regions(
    batch: RecordBatch, names: Sequence[str], regions: npt.NDArray[Any], first: int, model: str
) -> Iterator[bytes]:
    """Yield the viral regions of a batch in FASTA; contig `first` of the sample is the first of the batch."""
    for contig, start, end, position, p_virus in regions.tolist():
        index = contig - first
        facts = f"p_virus={p_virus:.6f} position={POSITIONS[position]} model={model}"
        header = f"{names[index]}:{start + 1}-{end} {facts} {batch.descriptions[index]}"
        yield fasta_entry(header, batch.sequences[index][start:end])


def _check_same(source: Path, batch: RecordBatch, names: Sequence[str], lengths: Sequence[int]) -> None:
    """Refuse records that have not the IDs and lengths of those that were split."""
    if batch.sequences.lengths.tolist() != lengths:
        raise UsageError(_changed(source, "holds sequences of other lengths than those"))
    for name, contig in zip(names, batch.contigs, strict=True):
        if not name.startswith(contig):  # a repeated ID was given a suffix
            raise UsageError(_changed(source, f"has {contig!r} instead of the {name!r}"))


def fasta_entry(header: str, sequence: bytes) -> bytes:
    """Return a record in FASTA, 60 bases a line."""
    starts = range(0, len(sequence), _LINE_BASES)
    return b"\n".join([f">{header.rstrip(' ')}".encode(), *[sequence[at : at + _LINE_BASES] for at in starts], b""])


def _changed(path: Path, how: str) -> str:
    return f"{path} {how} that were split: the input has changed. Start the run again from the split"
