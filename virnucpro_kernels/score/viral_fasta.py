"""`viral.fna.gz`: the contigs called viral, with their scores, read again from the input."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.score.sample_reader import SampleRecords
from virnucpro_kernels.score.tables import deterministic_gzip
from virnucpro_kernels.sequences.records import RecordBatch, read_batches

_LINE_BASES = 60


def write_viral(
    path: Path,
    inputs: Sequence[Path],
    records: SampleRecords,
    p_virus: npt.NDArray[np.float32],
    tiers: npt.NDArray[np.int8],
    tier_names: Sequence[str],
    model: str,
) -> None:
    """Write the contigs of a sample that are called viral.

    Args:
        path: the gzip-compressed FASTA file.
        inputs: the sample's files, in order.
        records: the sample's contigs as they were split.
        p_virus: float32 (n,), of each contig.
        tiers: int8 (n,), index into `tier_names`; negative where the contig is not called viral.
        tier_names: what the header says.
        model: what the header says.

    Raises:
        UsageError: the files no longer hold what was split.
    """
    with deterministic_gzip(path) as file:
        first = 0
        for source, batch in _batches(inputs):
            stop = first + len(batch)
            if stop > len(tiers):
                raise UsageError(_changed(source, f"has more than the {len(tiers):,} records"))
            names, lengths = records.take(len(batch))
            if batch.sequences.lengths.tolist() != lengths:
                raise UsageError(_changed(source, "holds sequences of other lengths than those"))
            # A repeated ID was renamed, by a suffix.
            for name, contig in zip(names, batch.contigs, strict=True) if names != batch.contigs else ():
                if not name.startswith(contig):
                    raise UsageError(_changed(source, f"has {contig!r} instead of the {name!r}"))
            pieces = []
            for index in np.flatnonzero(tiers[first:stop] >= 0).tolist():
                header = (
                    f">{names[index]} p_virus={p_virus[first + index]:.6f} tier={tier_names[tiers[first + index]]}"
                    f" model={model} {batch.descriptions[index]}"
                )
                pieces += [header.rstrip(" ").encode(), b"\n", _wrapped(batch.sequences[index])]
            file.write(b"".join(pieces))
            first = stop
        if first != len(tiers):
            raise UsageError(_changed(inputs[-1], f"has {first:,} instead of the {len(tiers):,} records"))


def _batches(inputs: Sequence[Path]) -> Iterator[tuple[Path, RecordBatch]]:
    for path in inputs:
        for batch in read_batches(path):
            yield path, batch


def _wrapped(sequence: bytes) -> bytes:
    starts = range(0, len(sequence), _LINE_BASES)
    return b"".join(sequence[start : start + _LINE_BASES] + b"\n" for start in starts)


def _changed(path: Path, how: str) -> str:
    return f"{path}: {how} that were split: the input has changed. Start the run again from the split"
