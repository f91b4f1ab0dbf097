"""The figure of a track: a contig with its viral regions, the scores of its windows, and their reading frames."""

from collections.abc import Mapping
from typing import Any

import altair as alt

from virnucpro_kernels.pool.labels import FRAME_NAMES
from virnucpro_kernels.report.palette import Palette, styled
from virnucpro_kernels.score.thresholds import Thresholds

Layers = alt.LayerChart | alt.FacetChart

#: Data of the figure, which the page fills in for the contig at hand: a row for each window as in `windows.tsv`, and
#: one for each region (`start`, `end`, `p_virus`).
DATASETS = ("windows", "regions")
#: Parameter of the figure: length of the contig in bp.
LENGTH = "contig_length"


def track_figure(
    thresholds: Thresholds,
    palette: Palette,
    length: int = 1,
    data: Mapping[str, list[dict[str, Any]]] | None = None,
    title: alt.TitleParams | None = None,
) -> alt.TopLevelMixin:
    """Return the figure of a track.

    Args:
        thresholds: Thresholds, which are marked, and which colour the windows.
        palette: Colours.
        length: Length of the contig in bp.
        data: Rows of each of `DATASETS`; without them, the figure names its data only.
        title: Title; the page has its own.
    """
    zoom = alt.selection_interval(name="zoom", bind="scales", encodings=["x"], zoom="wheel![event.shiftKey]")
    panels = [
        _contig(palette).properties(width=_WIDTH, height=2 * _BAR + _GAP),
        _scores(thresholds, palette, zoom).properties(width=_WIDTH, height=170),
        _frames(thresholds, palette).properties(width=_WIDTH, height=96),
    ]
    chart = alt.vconcat(*panels, spacing=10).resolve_scale(x="shared").add_params(alt.param(name=LENGTH, value=length))
    if data is not None:
        chart.datasets = data
    if title is not None:
        chart = chart.properties(title=title)
    return styled(chart, palette)


_X_AXIS = alt.Axis(format=",d", tickCount=8)


_WHOLE: list[Any] = [0, {"expr": LENGTH}]


def _x(field: str, axis: alt.Axis | None) -> alt.X:
    title = "position in the contig (bp)" if axis else None
    return alt.X(f"{field}:Q", title=title, axis=axis, scale=alt.Scale(domain=_WHOLE, nice=False))


def _rows(name: str) -> alt.Chart:
    return alt.Chart(alt.NamedData(name=name))


def _scored() -> alt.Chart:
    """Windows with a score, named `frame` their best frame."""
    return _rows("windows").transform_filter("isValid(datum.p_virus)")


def _contig(palette: Palette) -> Layers:
    """Two bars as long as the contig: what of it lies in scored windows, and its viral regions."""
    whole = alt.Chart(alt.InlineData(values=[{"start": 0}])).transform_calculate(end=LENGTH)
    regions = _rows("regions").mark_rect(color=palette["viral"])
    regions = regions.encode(
        tooltip=[*(alt.Tooltip(f"{name}:Q", format=",") for name in ("start", "end")), "p_virus:Q"]
    )
    layers = []
    for top, name, marks in (
        (0, "scored", _scored().mark_rect(color=palette["none"], aria=False)),
        (_BAR + _GAP, "viral", regions),
    ):
        place = {"x": _x("start", None), "x2": "end:Q", "y": alt.value(top), "y2": alt.value(top + _BAR)}
        # Vega-Lite clips what lies outside of a panel that zooms, unless it is told not to.
        text = whole.mark_text(align="right", dx=-8, color=palette["soft"], aria=False, clip=False)
        layers += [
            text.encode(x=alt.value(0), y=alt.value(top + _BAR / 2), text=alt.value(name)),
            whole.mark_rect(color=palette["without"], aria=False).encode(**place),
            marks.encode(**place),
        ]
    return alt.layer(*layers)


_WIDTH = 900
_BAR, _GAP = 9, 5


def _scores(thresholds: Thresholds, palette: Palette, zoom: alt.Parameter) -> Layers:
    """The score of each window, from the threshold up or down."""
    low, high = thresholds.ambiguous_band
    # A false discovery rate decides on contigs, at another p_virus in each sample; regions still have their threshold.
    threshold = thresholds.viral_threshold if thresholds.fdr is None else thresholds.region_threshold
    axis = alt.Axis(values=[0, 0.2, 0.4, 0.6, 0.8, 1], format=".1f")

    def y(field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", title="p_virus of the window", axis=axis, scale=alt.Scale(domain=[0, 1], nice=False))

    windows = _scored().transform_calculate(state=_state(thresholds), threshold=str(threshold))
    windows = windows.encode(x=_x("start", None), x2="end:Q", y=y("p_virus"), color=_coloured(palette))
    band = alt.Chart(alt.InlineData(values=[{"low": low, "high": high}])).mark_rect(color=palette["band"], aria=False)
    line = alt.Chart(alt.InlineData(values=[{"at": threshold}]))
    line = line.mark_rule(color=palette["soft"], strokeDash=[3, 3], aria=False)
    return alt.layer(
        band.encode(y=y("low"), y2="high:Q"),
        windows.mark_rect(opacity=0.35, aria=False).encode(y2="threshold:Q"),
        line.encode(y=y("at")),
        windows.mark_rule(strokeWidth=2.5).encode(tooltip=_tooltip()).add_params(zoom),
    )


def _frames(thresholds: Thresholds, palette: Palette) -> Layers:
    """The open frames of each window; the one of the highest logit in the colour of the window."""
    axis = alt.Axis(ticks=False, labelExpr="datum.label + (slice(datum.label, 0, 1) == 'F' ? ' +' : ' -')")
    scale = alt.Scale(domain=FRAME_NAMES, padding=0.25)
    y = alt.Y("frame:N", title="open frames", axis=axis, sort=FRAME_NAMES, scale=scale)
    rows = _scored().transform_calculate(state=_state(thresholds), frame="split(datum.frames, ',')")
    rows = rows.transform_flatten(["frame"]).mark_rect(aria=False)
    rows = rows.encode(x=_x("start", _X_AXIS), x2="end:Q", y=y, tooltip=_tooltip())
    best = alt.datum.frame == alt.datum.best_frame
    return alt.layer(
        rows.transform_filter(~best).mark_rect(color=palette["none"], aria=False),
        rows.transform_filter(best).encode(color=_coloured(palette)),
    )


def _state(thresholds: Thresholds) -> str:
    low, high = thresholds.ambiguous_band
    return f"datum.p_virus >= {high} ? 'viral' : datum.p_virus >= {low} ? 'ambiguous' : 'host'"


def _coloured(palette: Palette) -> alt.Color:
    names = ["viral", "ambiguous", "host"]
    scale = alt.Scale(domain=names, range=[palette[name] for name in names])
    return alt.Color("state:N", scale=scale, legend=alt.Legend(title=None))


def _tooltip() -> list[Any]:
    places = (alt.Tooltip(f"{name}:Q", format=",") for name in ("window", "start", "end"))
    return [*places, alt.Tooltip("p_virus:Q", format=".4f"), "best_frame:N", "frames:N"]
