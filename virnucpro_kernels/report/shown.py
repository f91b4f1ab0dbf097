"""What the report shows contig by contig: those with most evidence and their tracks, as many as a page can hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from virnucpro_kernels.report.regions import RegionSummary, read_regions, summarise_regions
from virnucpro_kernels.report.samples import SampleResults
from virnucpro_kernels.report.tables import ContigSummary, evidence_order, shares, summarise_contigs
from virnucpro_kernels.report.tracks import joined, read_tracks

#: Contigs in the table of the page.
MOST_ROWS = 10_000
#: Windows in all tracks of the page, and in one.
MOST_WINDOWS = 100_000
MOST_WINDOWS_OF_TRACK = 2_000
#: Contigs up to which the figure of lengths has a point for each, and samples up to which figures have a bar for each.
_MOST_POINTS = 3_000
MOST_BARS = 60
# Places of a track's p_virus: a pixel of the figure is wider.
_TRACK_DECIMALS = 4


@dataclass(frozen=True, eq=False)
class Shown:
    """The samples of a report, and those of their contigs that are shown one by one.

    Attributes:
        samples: Samples.
        summaries: Counts of each sample.
        regions: Number of viral regions of each sample.
        table: Rows of contigs, those with most evidence first: `sample` (its index), the columns of `CONTIG_TYPES`, and
            `regions`, the number of its viral regions.
        tracks: Tracks by row: lists of `start`, `end`, `frames`, `best_frame`, `p_virus`; `joined`, how many windows an
            entry stands for; `regions`, the rows of its viral regions.
    """

    samples: Sequence[SampleResults]
    summaries: Sequence[ContigSummary]
    regions: Sequence[RegionSummary]
    table: pa.Table
    tracks: Mapping[int, Mapping[str, Any]]


def choose_shown(
    samples: Sequence[SampleResults], *, most_rows: int = MOST_ROWS, most_windows: int = MOST_WINDOWS
) -> Shown:
    """Read the tables of the samples once for what is counted, and once for what is shown of contigs.

    Each sample has the same share of the rows, and what some do not need goes to the others. Tracks go to the first
    scored contigs of all samples, by evidence.

    Args:
        samples: Samples of the report.
        most_rows: Contigs that are shown in all.
        most_windows: Windows in all tracks.

    Raises:
        DamagedFileError: a table is damaged.
        FileNotFoundError: a table is missing.
    """
    rows = shares([sample.counts["contigs"] for sample in samples], most_rows)
    regions = [summarise_regions(sample.regions) for sample in samples]
    summaries = [
        summarise_contigs(sample.contigs, kept, found.host_contigs)
        for sample, kept, found in zip(samples, rows, regions, strict=True)
    ]
    table = pa.concat_tables(
        summary.top.add_column(0, "sample", pa.array(np.full(len(summary.top), index)))
        for index, summary in enumerate(summaries)
    )
    table = table.take(evidence_order(table)).combine_chunks()
    sample_of, contig = table["sample"].to_numpy(), table["contig"].to_pylist()
    scored = np.flatnonzero(table["scored_windows"].to_numpy() > 0)
    drawn = np.minimum(table["windows"].to_numpy()[scored], MOST_WINDOWS_OF_TRACK)
    with_track = set(scored[np.cumsum(drawn) <= most_windows].tolist())
    regions_of = np.zeros(len(table), np.int64)
    tracks: dict[int, dict[str, Any]] = {}
    for index, sample in enumerate(samples):
        of_sample = np.flatnonzero(sample_of == index).tolist()
        inside = read_regions(sample.regions, [contig[row] for row in of_sample])
        drawn_here = [row for row in of_sample if row in with_track]
        windows = read_tracks(sample.windows, [contig[row] for row in drawn_here])
        tracks |= {row: _track(windows[contig[row]], inside[contig[row]]) for row in drawn_here}
        regions_of[of_sample] = [len(inside[contig[row]]) for row in of_sample]
    table = table.drop_columns("candidate").append_column("regions", pa.array(regions_of))
    return Shown(samples, summaries, regions, table, tracks)


def has_points(shown: Shown) -> bool:
    """Whether the figure of lengths has a point for each scored contig: there are few, and the table has all."""
    contigs = sum(int(summary.contigs.sum()) for summary in shown.summaries)
    scored = sum(int(summary.scores.sum()) for summary in shown.summaries)
    return scored <= _MOST_POINTS and len(shown.table) == contigs


def _track(windows: pa.Table, regions: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a track as the page has it."""
    windows, size = joined(windows, MOST_WINDOWS_OF_TRACK)
    track = windows.drop_columns("window").to_pydict()
    track["p_virus"] = [None if p is None else round(p, _TRACK_DECIMALS) for p in track["p_virus"]]
    return {**track, "joined": size, "regions": regions}
