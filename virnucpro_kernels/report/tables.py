"""Contig tables in one pass each: counts by call, score and length, and the rows of the contigs with most evidence.

Memory is that of a block of the table and of the rows that are kept, whatever the number of contigs.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from virnucpro_kernels.errors import REMEDY, DamagedFileError
from virnucpro_kernels.sequences.arrays import Int64s

#: What becomes of a contig: a tier, `host`, too little evidence for a call, or the status that says why it has no
#: score.
GROUPS = ("high", "medium", "low", "host", "too_little_evidence", "no_open_frame", "too_short", "no_codon", "empty")
#: Of these, the groups of scored contigs with their call; `none` are the contigs without one.
SCORED_GROUPS = {"high": "viral", "medium": "viral", "low": "viral", "host": "host", "too_little_evidence": "none"}
#: Calls, in the order of the counts.
CALLS = ("viral", "host", "none")

#: Bins of p_virus, of equal width from 0 to 1.
P_BINS = 50
#: Bins of the contigs' lengths, each a tenth of a power of ten, from 1 bp on.
BINS_PER_DECADE = 10
LENGTH_BINS = 9 * BINS_PER_DECADE

_CALL_OF_GROUP = np.array([CALLS.index(call) for call in SCORED_GROUPS.values()])
_STRING = pa.string()
#: Columns of a contig table that the report reads, and their types.
CONTIG_TYPES: Mapping[str, pa.DataType] = {
    **dict.fromkeys(("contig", "status", "tier", "call", "note", "description"), _STRING),
    **dict.fromkeys(("length", "windows", "scored_windows"), pa.int64()),
    **dict.fromkeys(("viral_windows", "ambiguous_windows", "host_windows", "best_window"), pa.int64()),
    **dict.fromkeys(("covered_fraction", "p_virus"), pa.float64()),
}
# A line that is longer than a block is an error. Descriptions of megabytes are not known to exist.
_BLOCK_BYTES = 16 << 20


@dataclass(frozen=True, eq=False)
class ContigSummary:
    """What a pass over a contig table leaves.

    Attributes:
        contigs, bases: Numbers of contigs and of their bases by group, int64 (len(GROUPS),).
        scores: Number of scored contigs by call and bin of p_virus, int64 (len(CALLS), P_BINS).
        lengths: Number of scored contigs by bin of length and of p_virus, int64 (LENGTH_BINS, P_BINS).
        top: Rows of the contigs with most evidence, see `evidence_order`; columns as `CONTIG_TYPES`, and `candidate`.
    """

    contigs: Int64s
    bases: Int64s
    scores: Int64s
    lengths: Int64s
    top: pa.Table


def summarise_contigs(path: Path, kept: int, divided: Collection[str] = ()) -> ContigSummary:
    """Read a contig table once.

    Args:
        path: Table of a sample's contigs.
        kept: Number of rows to keep, those with most evidence.
        divided: Contigs called host that hold a viral region. These and the contigs called viral are the candidates.

    Raises:
        DamagedFileError: the table is damaged.
        FileNotFoundError: there is none.
    """
    contigs = np.zeros(len(GROUPS), np.int64)
    bases = np.zeros(len(GROUPS), np.int64)
    scores = np.zeros((len(CALLS), P_BINS), np.int64)
    lengths = np.zeros((LENGTH_BINS, P_BINS), np.int64)
    top = pa.schema([*CONTIG_TYPES.items(), ("candidate", pa.bool_())]).empty_table()
    hosts = pa.array(divided, _STRING)
    for table in read_table(path, CONTIG_TYPES):
        group, length = _groups(table, path), _numbers(table["length"])
        contigs += np.bincount(group, minlength=len(GROUPS))
        bases += np.bincount(group, length, len(GROUPS)).astype(np.int64)
        scored = group < len(SCORED_GROUPS)
        call = _CALL_OF_GROUP[group[scored]]
        p_bin = np.minimum((_numbers(table["p_virus"])[scored] * P_BINS).astype(np.int64), P_BINS - 1)
        _count(scores, call, p_bin)
        _count(lengths, length_bin(length[scored]), p_bin)
        candidate = pc.or_(pc.equal(table["call"], "viral"), pc.is_in(table["contig"], hosts))
        top = pa.concat_tables([top, table.append_column("candidate", candidate)])
        top = top.take(evidence_order(top)[:kept])
    return ContigSummary(contigs, bases, scores, lengths, top)


def evidence_order(table: pa.Table) -> Int64s:
    """Return the order of the rows by their evidence: candidates first, then contigs with more viral windows, then
    those with a higher p_virus; equal ones stay in their order."""
    p_virus = np.nan_to_num(_numbers(table["p_virus"]), nan=-1.0)
    candidate = table["candidate"].to_numpy(zero_copy_only=False)
    return np.lexsort((-p_virus, -_numbers(table["viral_windows"]), ~candidate))


def read_table(path: Path, types: Mapping[str, pa.DataType]) -> Iterator[pa.Table]:
    """Yield a result table in blocks of rows: the columns that `types` names, with null for `NA` in numbers only.

    Raises:
        DamagedFileError: the table lacks a column, or a field is not of its type.
        FileNotFoundError: there is no such table.
    """
    try:
        reader = csv.open_csv(
            path,
            read_options=csv.ReadOptions(block_size=_BLOCK_BYTES),
            parse_options=csv.ParseOptions(delimiter="\t"),
            convert_options=csv.ConvertOptions(column_types=types, include_columns=list(types), null_values=["NA"]),
        )
        for batch in reader:
            yield pa.Table.from_batches([batch])
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise DamagedFileError(f"{path}: the table is damaged ({error}); {REMEDY}") from error


def shares(counts: Sequence[int], most: int) -> list[int]:
    """Return how many of `most` rows each sample may have: the same for all, and what some do not need goes to others.

    Args:
        counts: Number of rows of each sample.
        most: Number of rows in all.
    """
    share = [0] * len(counts)
    left = most
    for place, index in enumerate(sorted(range(len(counts)), key=lambda index: counts[index])):
        share[index] = min(counts[index], left // (len(counts) - place))
        left -= share[index]
    return share


def length_bin(length: npt.NDArray[np.float64]) -> Int64s:
    """Return the bin of each length in bp."""
    bins = np.floor(np.log10(np.maximum(length, 1)) * BINS_PER_DECADE).astype(np.int64)
    clipped: Int64s = np.clip(bins, 0, LENGTH_BINS - 1)
    return clipped


def _groups(table: pa.Table, path: Path) -> Int64s:
    """Return the group of each contig of a block of the table `path`, as an index into `GROUPS`."""
    called = pc.if_else(pc.equal(table["call"], "none"), "too_little_evidence", table["call"])
    named = pc.if_else(pc.equal(called, "viral"), table["tier"], called)
    group = pc.index_in(pc.if_else(pc.equal(table["status"], "scored"), named, table["status"]), pa.array(GROUPS))
    if group.null_count:
        contig = table["contig"][pc.index(pc.is_null(group), True).as_py()]
        raise DamagedFileError(
            f"{path}: the table is damaged (contig {contig}: unknown status, call or tier); {REMEDY}"
        )
    groups: Int64s = group.to_numpy(zero_copy_only=False).astype(np.int64)
    return groups


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """Return a column of numbers as an array; NaN for null."""
    values: npt.NDArray[np.float64] = column.to_numpy(zero_copy_only=False)
    return values


def _count(counts: Int64s, *bins: Int64s) -> None:
    """Add one to the cell of each entry of a table of counts."""
    counts += np.bincount(np.ravel_multi_index(bins, counts.shape), minlength=counts.size).reshape(counts.shape)
