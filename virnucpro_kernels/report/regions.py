"""Viral regions of a sample from its table: their number, host contigs that hold one, and those of a few contigs."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from virnucpro_kernels.report.tables import read_table

_STRING = pa.string()
#: Columns of a region in a track, as in `regions.tsv`.
_REGION_TYPES: Mapping[str, pa.DataType] = {
    **dict.fromkeys(("region", "start", "end"), pa.int64()),
    "position": _STRING,
    "p_virus": pa.float64(),
}


@dataclass(frozen=True)
class RegionSummary:
    """What a pass over a region table leaves.

    Attributes:
        regions, bases: Number of regions, and of their bases.
        host_contigs: Contigs called host that hold one.
    """

    regions: int
    bases: int
    host_contigs: frozenset[str]


def summarise_regions(path: Path) -> RegionSummary:
    """Read a region table once.

    Raises:
        DamagedFileError: the table is damaged.
        FileNotFoundError: there is none.
    """
    regions = bases = 0
    hosts: set[str] = set()
    for table in read_table(path, {"contig": _STRING, "contig_call": _STRING, "length": pa.int64()}):
        regions += len(table)
        bases += pc.sum(table["length"]).as_py() or 0
        hosts.update(table.filter(pc.equal(table["contig_call"], "host"))["contig"].to_pylist())
    return RegionSummary(regions, bases, frozenset(hosts))


def read_regions(path: Path, contigs: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the regions of some contigs of a sample, by contig, from its region table, which is read once.

    Returns:
        For each of `contigs` its regions in their order: `region` (its number, from 1), `start` and `end` (bases,
        0-based and half-open), `position` and `p_virus`.

    Raises:
        DamagedFileError: the table is damaged.
        FileNotFoundError: there is none.
    """
    found: dict[str, list[dict[str, Any]]] = {contig: [] for contig in contigs}
    for contig, region in _rows(path, contigs):
        found[contig].append(region)
    return found


def _rows(path: Path, contigs: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    wanted = pa.array(contigs, _STRING)
    for table in read_table(path, {"contig": _STRING, **_REGION_TYPES}):
        for row in table.filter(pc.is_in(table["contig"], wanted)).to_pylist():
            yield row.pop("contig"), row
