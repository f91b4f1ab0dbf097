"""What the script of the page works on: figures, the rows of the table of contigs, and their tracks."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from virnucpro_kernels.report import palette
from virnucpro_kernels.report.figures import run_figures
from virnucpro_kernels.report.shown import Shown
from virnucpro_kernels.report.track_figure import track_figure

# Characters of a description that the table shows; `contigs.tsv` has all.
_DESCRIPTION = 160
#: Columns of the table of contigs: name, heading, how it is shown (see page.js), whether it is shown at first.
_COLUMNS = (
    ("contig", "contig", "text", True),
    ("sample", "sample", "text", True),
    ("length", "length", "digits", True),
    ("call", "call", "word", True),
    ("tier", "tier", "word", True),
    ("p_virus", "p_virus", "p", True),
    ("viral_windows", "viral windows", "digits", True),
    ("regions", "viral regions", "digits", True),
    ("scored_windows", "scored windows", "digits", True),
    ("windows", "windows", "digits", False),
    ("covered_fraction", "covered", "percent", True),
    ("ambiguous_windows", "ambiguous windows", "digits", False),
    ("host_windows", "host windows", "digits", False),
    ("best_window", "best window", "digits", False),
    ("status", "status", "word", False),
    ("note", "note", "word", False),
    ("description", "description", "word", True),
)


def page_data(shown: Shown) -> dict[str, Any]:
    """Return what page.js works on, of types that JSON has."""
    several = len(shown.samples) > 1
    names = pa.array([sample.name for sample in shown.samples], pa.string())
    table = _replaced(shown.table, "sample", names.take(shown.table["sample"].combine_chunks()))
    descriptions = pc.utf8_slice_codeunits(table["description"], 0, _DESCRIPTION)
    table = _replaced(table, "description", descriptions)
    described = pc.any(pc.not_equal(descriptions, "")).as_py()
    hidden = {name for name, useful in (("sample", several), ("description", described)) if not useful}
    thresholds = [sample.thresholds for sample in shown.samples]
    distinct = list({repr(one): one for one in thresholds}.values())
    return {
        "columns": [
            {"name": name, "title": title, "kind": kind, "visible": visible and name not in hidden}
            for name, title, kind, visible in _COLUMNS
        ],
        "contigs": list(zip(*(table[name].to_pylist() for name, *_ in _COLUMNS), strict=True)),
        "severalSamples": several,
        "tracks": shown.tracks,
        "figures": {name: figure.to_dict() for name, figure in run_figures(shown, palette.OF_PAGE).items()},
        "trackFigures": [track_figure(one, palette.OF_PAGE).to_dict() for one in distinct],
        "trackFigureOf": dict(zip(names.to_pylist(), map(distinct.index, thresholds), strict=True)),
        "light": palette.LIGHT,
    }


def _replaced(table: pa.Table, name: str, column: pa.Array | pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)
