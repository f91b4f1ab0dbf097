"""Tracks of a few contigs: their windows, from the window tables."""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from virnucpro_kernels.report.tables import read_table

_STRING = pa.string()
#: Columns of a track, as in `windows.tsv`.
WINDOW_TYPES: Mapping[str, pa.DataType] = {
    **dict.fromkeys(("window", "start", "end"), pa.int64()),
    **dict.fromkeys(("frames", "best_frame"), _STRING),
    "p_virus": pa.float64(),
}
# Probabilities have six decimals, so that these are the nearest ones to 0 and 1 that have a logit.
_LEAST, _MOST = 1e-6, 1 - 1e-6


def read_tracks(path: Path, contigs: Collection[str]) -> dict[str, pa.Table]:
    """Return the windows of some contigs of a sample from its window table, which is read once.

    Returns:
        A table with the columns of `WINDOW_TYPES` for each of `contigs`, in the order of the windows; a contig without
        windows has an empty one.

    Raises:
        DamagedFileError: the table is damaged.
        FileNotFoundError: there is none.
    """
    wanted = pa.array(contigs, _STRING)
    types = {"contig": _STRING, **WINDOW_TYPES}
    found = pa.concat_tables(
        [
            pa.schema(types.items()).empty_table(),
            *(table.filter(pc.is_in(table["contig"], wanted)) for table in read_table(path, types)),
        ]
    ).combine_chunks()
    # The windows of a contig follow one another.
    owner = pc.index_in(found["contig"], wanted).to_numpy(zero_copy_only=False)
    order = np.argsort(owner, kind="stable")
    bounds = np.searchsorted(owner[order], np.arange(len(wanted) + 1))
    windows = found.drop_columns("contig").take(order)
    return {
        contig: windows.slice(begin, end - begin)
        for contig, begin, end in zip(contigs, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    }


def joined(windows: pa.Table, most: int) -> tuple[pa.Table, int]:
    """Return the windows of a contig in at most `most` rows, and how many neighbours each row stands for.

    Where windows are joined, the row has the score that a contig of them would have: the sigmoid of their mean logit,
    weighted with their lengths. It has no frames, and the number of its first window.
    """
    size = -(-len(windows) // most) or 1
    if size == 1:
        return windows, 1
    start, end, p_virus = (windows[name].to_numpy() for name in ("start", "end", "p_virus"))
    first = np.arange(0, len(windows), size)
    weight = np.where(np.isnan(p_virus), 0, end - start)
    p = np.clip(np.nan_to_num(p_virus, nan=0.5), _LEAST, _MOST)
    total = np.add.reduceat(weight, first)
    with np.errstate(invalid="ignore"):
        logit = np.add.reduceat(weight * np.log(p / (1 - p)), first) / total
    texts = pa.array([""] * len(first), _STRING)
    columns = {
        "window": first + 1,
        "start": start[first],
        "end": np.maximum.reduceat(end, first),
        "frames": texts,
        "best_frame": texts,
        "p_virus": pa.array(1 / (1 + np.exp(-logit)), mask=total == 0),
    }
    return pa.table(columns, schema=pa.schema(WINDOW_TYPES.items())), size
