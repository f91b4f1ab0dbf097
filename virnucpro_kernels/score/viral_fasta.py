"""`viral.fna.gz`: the contigs called viral, with their scores, read again from the input."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.score.sample_reader import Sources, read_ids
from virnucpro_kernels.score.scoring import TIERS
from virnucpro_kernels.score.tables import deterministic_gzip
from virnucpro_kernels.sequences.records import RecordBatch, read_batches

_LINE_BASES = 60


def write_viral(
    path: Path,
    sources: Sources,
    sample: str,
    p_virus: npt.NDArray[np.float32],
    tiers: npt.NDArray[np.int8],
    model: str,
) -> None:
    """Write the contigs of a sample that are called viral.

    Args:
        path: Gzip-compressed FASTA file to write.
        sources: Files of the sample.
        sample: Name of the sample.
        p_virus: Probability of each contig, float32 (n,).
        tiers: Index into `TIERS`, int8 (n,); negative where the contig is not called viral.
        model: Name of the model in the headers.

    Raises:
        UsageError: the files no longer hold what was split.
    """
    records = read_ids(sources, sample)
    with deterministic_gzip(path) as file:
        first = 0
        for source, batch in ((given, batch) for given in sources.inputs for batch in read_batches(given)):
            stop = first + len(batch)
            if stop > len(tiers):
                raise UsageError(_changed(source, f"has more than the {len(tiers):,} records"))
            table = records.take(len(batch))
            names = table["contig"].to_pylist()
            _check_same(source, batch, names, table["length"].to_pylist())
            pieces = []
            for index in np.flatnonzero(tiers[first:stop] >= 0).tolist():
                header = (
                    f">{names[index]} p_virus={p_virus[first + index]:.6f} tier={TIERS[tiers[first + index]]}"
                    f" model={model} {batch.descriptions[index]}"
                )
                pieces += [header.rstrip(" ").encode(), b"\n", _wrapped(batch.sequences[index])]
            file.write(b"".join(pieces))
            first = stop
        if first != len(tiers):
            raise UsageError(_changed(sources.inputs[-1], f"has {first:,} instead of the {len(tiers):,} records"))


def _check_same(source: Path, batch: RecordBatch, names: Sequence[str], lengths: Sequence[int]) -> None:
    """Refuse records that have not the IDs and lengths of those that were split."""
    if batch.sequences.lengths.tolist() != lengths:
        raise UsageError(_changed(source, "holds sequences of other lengths than those"))
    for name, contig in zip(names, batch.contigs, strict=True):
        if not name.startswith(contig):  # a repeated ID was given a suffix
            raise UsageError(_changed(source, f"has {contig!r} instead of the {name!r}"))


def _wrapped(sequence: bytes) -> bytes:
    starts = range(0, len(sequence), _LINE_BASES)
    return b"".join(sequence[start : start + _LINE_BASES] + b"\n" for start in starts)


def _changed(path: Path, how: str) -> str:
    return f"{path} {how} that were split: the input has changed. Start the run again from the split"
