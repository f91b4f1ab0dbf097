"""Pools: sets of samples that share their chunks, so that the model is not loaded once for every small sample.

Assignments of samples to pools are kept in a table, and new ones are appended to it. So a sample that is added at the
end of the sheet changes the last pool and no other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from virnucpro_kernels.errors import REMEDY
from virnucpro_kernels.pool.file_names import WORK
from virnucpro_kernels.pool.tsv import read_rows, write_rows
from virnucpro_kernels.run.samples import Sample

POOLS = WORK / "pools.tsv"

_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
_COMPRESSION_RATIO = 4


@dataclass(frozen=True)
class Assignment:
    """A sample, its pool, and about how many bases it has (0 where the sheet named the pool)."""

    sample: str
    pool: str
    bases: int


def assign(
    samples: Sequence[Sample], known: Mapping[str, Assignment], bases: Mapping[str, int], pool_bases: int
) -> list[Assignment]:
    """Return the assignments that `known` lacks, in the order of the samples.

    A sample whose sheet names a pool is not assigned. Any other goes into the pool of the last assignment as long as
    that one stays within `pool_bases`, else into a new pool that takes the sample's name.

    Args:
        samples: All samples of the run.
        known: Assignments of earlier starts by sample, in the order in which they were made.
        bases: Estimated number of bases of each sample without a known pool.
        pool_bases: Number of bases that fill about one chunk.
    """
    filled: dict[str, int] = {}
    last = ""
    for assignment in known.values():
        last = assignment.pool
        filled[last] = filled.get(last, 0) + assignment.bases
    taken = set(filled) | {sample.pool for sample in samples}
    new = []
    for sample in samples:
        if sample.pool or sample.name in known:
            continue
        size = bases[sample.name]
        if not last or filled[last] + size > pool_bases:
            last = sample.name
            while last in taken:
                last += "_"
            taken.add(last)
        filled[last] = filled.get(last, 0) + size
        new.append(Assignment(sample.name, last, size))
    return new


def estimate_bases(path: Path) -> int:
    """Return an estimate of the bases in a sequence file, from its size, its compression and its format."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(6)
    if start.startswith(_COMPRESSED):
        return size * _COMPRESSION_RATIO
    return size // 2 if start.startswith(b"@") else size


def read_pools(path: Path) -> dict[str, Assignment]:
    """Return the assignments in a table by sample, in their order; none where the file does not exist.

    Raises:
        DamagedFileError: the file is not such a table.
    """
    if not path.exists():
        return {}
    rows = read_rows(path, Assignment, remedy=REMEDY)
    return {row.sample: row for row in rows}


def keep_pools(assignments: Sequence[Assignment], path: Path = POOLS) -> None:
    """Write the table of `assignments`, earlier ones first, unless it holds them already."""
    if list(assignments) == list(read_pools(path).values()):
        return
    write_rows(path, Assignment, assignments)
