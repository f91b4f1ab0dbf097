"""Figures of a run: calls of each sample, distribution of the scores, length against score, contigs above a cut-off.

Each is drawn from counts, so that it has the same size for ten contigs and for ten million; only a figure of few
contigs has a mark for each. A palette says which colour stands for what: see `palette`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from virnucpro_kernels.report.palette import Palette, styled
from virnucpro_kernels.report.shown import MOST_BARS, Shown, has_points
from virnucpro_kernels.report.tables import BINS_PER_DECADE, CALLS, SCORED_GROUPS, ContigSummary
from virnucpro_kernels.score.thresholds import Thresholds
from virnucpro_kernels.sequences.arrays import Int64s

Rows = list[dict[str, Any]]
Layers = alt.LayerChart | alt.FacetChart

#: What becomes of contigs, in the order in which it is stacked: words of the legend, and name of the colour.
_STACK = {
    "viral, high": "high",
    "viral, medium": "medium",
    "viral, low": "low",
    "host": "host",
    "too little evidence": "none",
    "no score": "without",
}
#: The same for scored contigs by call, in the order of `CALLS`.
_CALLS = {"viral": "viral", "host": "host", "too little evidence": "none"}


def run_figures(shown: Shown, palette: Palette) -> dict[str, alt.TopLevelMixin]:
    """Return the figures of a run by name; distributions side by side only of several samples.

    Thresholds are those of the first sample: others are there only in a sweep.
    """
    thresholds = shown.samples[0].thresholds
    names, summaries = [sample.name for sample in shown.samples[:MOST_BARS]], shown.summaries[:MOST_BARS]
    points = _contig_rows(shown) if has_points(shown) else None
    figures = {
        "calls": calls_figure(names, summaries, palette),
        "scores": scores_figure(shown.summaries, points, thresholds, palette),
        "cutoffs": cutoffs_figure(shown.summaries, thresholds, palette),
    }
    if len(shown.samples) > 1:
        figures["strips"] = strips_figure(names, summaries, thresholds, palette)
    return figures


def calls_figure(names: Sequence[str], summaries: Sequence[ContigSummary], palette: Palette) -> alt.TopLevelMixin:
    """Return the shares of contigs, and of bases, by what becomes of them: a bar for each sample."""
    rows: Rows = []
    for name, summary in zip(names, summaries, strict=True):
        for what, numbers in (("contigs", summary.contigs), ("bases", summary.bases)):
            scored, total = numbers[: len(SCORED_GROUPS)].tolist(), int(numbers.sum())
            for order, (group, number) in enumerate(zip(_STACK, [*scored, total - sum(scored)], strict=True)):
                share = round(number / max(total, 1), 4)
                rows.append(
                    {"sample": name, "of": what, "group": group, "order": order, "number": number, "share": share}
                )
    base = _chart(rows).mark_bar(height=18).properties(width=400, height=alt.Step(26))
    base = base.encode(
        color=_coloured("group", _STACK, palette),
        order="order:O",
        tooltip=["sample:N", "group:N", _count("number"), _share("share")],
    )
    halves = [
        base.transform_filter(alt.datum.of == what).encode(
            x=alt.X("share:Q", axis=alt.Axis(format="%", tickCount=5), scale=_UNIT, title=f"share of the {what}"),
            y=_samples(names, axis=what == "contigs"),
        )
        for what in ("contigs", "bases")
    ]
    return styled(alt.hconcat(*halves, spacing=28), palette, room=64 + _names_extent(names))


def scores_figure(
    summaries: Sequence[ContigSummary], points: Rows | None, thresholds: Thresholds, palette: Palette
) -> alt.TopLevelMixin:
    """Return the distribution of p_virus and, below it on the same axis, the lengths of the contigs.

    Args:
        summaries: Counts of the samples, which are added up.
        points: A row for each scored contig, which becomes a point; without them, the second part shows how many
            contigs there are at each place.
        thresholds: Values of p_virus that are marked.
        palette: Colours.
    """
    scores = _added([summary.scores for summary in summaries])
    rows: Rows = [
        {"call": call, "order": order, **_bin(place, scores.shape[1]), "contigs": int(scores[order, place])}
        for order, call in enumerate(_CALLS)
        for place in np.flatnonzero(scores[order]).tolist()
    ]
    bars = _chart(rows).mark_bar(binSpacing=1)
    bars = bars.encode(
        x=_p_bins(None),
        x2="to:Q",
        y=alt.Y("contigs:Q", title="contigs", axis=alt.Axis(tickCount=4, grid=True, format="~s")),
        color=_coloured("call", _CALLS, palette),
        order="order:O",
        tooltip=["call:N", "from:Q", "to:Q", _count("contigs")],
    )
    lengths = _points(points, palette) if points is not None else _density(summaries, thresholds, palette)
    upper = (bars + _marks(thresholds, palette, labelled=True)).properties(width=560, height=130)
    lower = (_marks(thresholds, palette) + lengths).properties(width=560, height=230)
    return styled(alt.vconcat(upper, lower, spacing=6).resolve_scale(x="shared"), palette)


def cutoffs_figure(summaries: Sequence[ContigSummary], thresholds: Thresholds, palette: Palette) -> alt.TopLevelMixin:
    """Return how many contigs with enough evidence have at least a given p_virus."""
    scores = _added([summary.scores for summary in summaries])[: CALLS.index("none")].sum(axis=0)
    above = np.cumsum(scores[::-1])[::-1].tolist()
    rows: Rows = [{"p_virus": place / len(above), "contigs": number} for place, number in enumerate(above) if number]
    high, medium, low, *_ = _added([summary.contigs for summary in summaries]).tolist()
    numbers = {"viral": low + medium + high, "medium": medium + high, "high": high}
    called = {cut: numbers[name] for name, cut in _cuts(thresholds).items()}
    labels: Rows = [
        {"p_virus": cut, "contigs": number, "text": f"{number:,}"} for cut, number in called.items() if number
    ]
    ticks = alt.Axis(values=[step * 10**power for power in range(9) for step in (1, 2, 5)], format="~s", grid=True)
    scale = alt.Scale(type="log", nice=False)
    x = alt.X("p_virus:Q", title=_TITLE, axis=_P_AXIS, scale=_UNIT)
    y = alt.Y("contigs:Q", title="contigs with at least this p_virus", axis=ticks, scale=scale)
    line = _chart(rows).mark_line(interpolate="step-before", strokeWidth=2, color=palette["soft"]).encode(x=x, y=y)
    called_at = _chart(labels).encode(x=x, y=y, tooltip=["p_virus:Q", _count("contigs")])
    points = called_at.mark_point(filled=True, size=60, opacity=1, color=palette["viral"])
    texts = called_at.mark_text(dx=8, dy=-8, align="left", fontWeight=600, color=palette["ink"]).encode(text="text:N")
    layers = _marks(thresholds, palette, labelled=True) + line + points + texts
    return styled(layers.properties(width=320, height=366), palette)


def strips_figure(
    names: Sequence[str], summaries: Sequence[ContigSummary], thresholds: Thresholds, palette: Palette
) -> alt.TopLevelMixin:
    """Return the distribution of p_virus of each sample as a strip, stronger where more of its contigs are."""
    rows: Rows = []
    for name, summary in zip(names, summaries, strict=True):
        scores = summary.scores.sum(axis=0)
        for place in np.flatnonzero(scores).tolist():
            share = round(float(scores[place] / scores.sum()), 5)
            rows.append({"sample": name, **_bin(place, len(scores)), "contigs": int(scores[place]), "share": share})
    strips = _chart(rows).mark_rect(height=18, color=palette["ink"])
    strips = strips.encode(
        x=_p_bins(_P_AXIS),
        x2="to:Q",
        y=_samples(names),
        opacity=alt.Opacity("share:Q", scale=alt.Scale(type="sqrt", range=[0.06, 1]), legend=None),
        tooltip=["sample:N", "from:Q", "to:Q", _count("contigs"), _share("share")],
    )
    layers = strips + _marks(thresholds, palette, labelled=True)
    return styled(layers.properties(width=800, height=alt.Step(26)), palette, room=34 + _names_extent(names))


def _contig_rows(shown: Shown) -> Rows:
    """Return a row for each scored contig of the table, with the number of its row there."""
    words = dict(zip(CALLS, _CALLS, strict=True))
    rows = shown.table.select(["sample", "contig", "length", "p_virus", "call"]).to_pylist()
    return [
        {**row, "row": number, "sample": shown.samples[row["sample"]].name, "call": words[row["call"]]}
        for number, row in enumerate(rows)
        if row["p_virus"] is not None
    ]


def _points(rows: Rows, palette: Palette) -> alt.Chart:
    """Return a point for each contig, by p_virus and length."""
    lengths = [row["length"] for row in rows] or [1]
    scale = alt.Scale(type="log", domain=[min(lengths) / 1.4, max(lengths) * 1.4], nice=False)
    marks: alt.Chart = _chart(rows).mark_circle(size=34, opacity=0.75, cursor="pointer")
    return marks.encode(
        x=alt.X("p_virus:Q", title=_TITLE, axis=_P_AXIS, scale=_UNIT),
        y=alt.Y("length:Q", title="length (bp)", axis=_LENGTH_AXIS, scale=scale),
        color=_coloured("call", _CALLS, palette),
        tooltip=["contig:N", "sample:N", _count("length"), "p_virus:Q", "call:N"],
    )


def _density(summaries: Sequence[ContigSummary], thresholds: Thresholds, palette: Palette) -> alt.Chart:
    """Return a field for each bin of p_virus and length that has contigs, stronger the more there are."""
    counts = _added([summary.lengths for summary in summaries])
    rows: Rows = [
        {
            **_bin(place, counts.shape[1]),
            "shortest": round(10 ** (length / BINS_PER_DECADE), 1),
            "longest": round(10 ** ((length + 1) / BINS_PER_DECADE), 1),
            "contigs": int(counts[length, place]),
        }
        for length, place in np.argwhere(counts).tolist()
    ]
    viral, host, either = (alt.value(palette[name]) for name in ("viral", "host", "ink"))
    by_call = alt.condition(alt.datum.to > thresholds.viral_threshold, viral, host)
    scale = alt.Scale(type="log", nice=False)
    marks: alt.Chart = _chart(rows).mark_rect()
    return marks.encode(
        x=_p_bins(_P_AXIS),
        x2="to:Q",
        y=alt.Y("shortest:Q", title="length (bp)", axis=_LENGTH_AXIS, scale=scale),
        y2="longest:Q",
        color=by_call if thresholds.fdr is None else either,
        opacity=alt.Opacity("contigs:Q", scale=alt.Scale(type="log", domainMin=1, range=[0.25, 1]), legend=None),
        tooltip=["from:Q", "to:Q", _count("shortest"), _count("longest"), _count("contigs")],
    )


def _cuts(thresholds: Thresholds) -> dict[str, float]:
    """Return the thresholds that the figures mark, by name: where calls and tiers begin.

    There are none where a false discovery rate decides, at another p_virus in each sample.
    """
    if thresholds.fdr is not None:
        return {}
    return {
        "viral": thresholds.viral_threshold,
        "medium": max(thresholds.tier_medium, thresholds.viral_threshold),
        "high": max(thresholds.tier_high, thresholds.viral_threshold),
    }


def _marks(thresholds: Thresholds, palette: Palette, *, labelled: bool = False) -> Layers:
    """Return dashed lines at the thresholds, with names above where `labelled`."""
    names = {value: name for name, value in reversed(_cuts(thresholds).items())}
    base = _chart([{"at": value, "name": name} for value, name in names.items()]).encode(x=alt.X("at:Q", scale=_UNIT))
    lines = base.mark_rule(strokeDash=[3, 3], color=palette["soft"], aria=False)
    texts = base.mark_text(dy=-6, baseline="bottom", color=palette["soft"], fontSize=10)
    return alt.layer(lines, texts.encode(y=alt.value(0), text="name:N")) if labelled else alt.layer(lines)


_TITLE = "p_virus of the contig"
_UNIT = alt.Scale(domain=[0, 1], nice=False)
_P_AXIS = alt.Axis(values=[0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1], format=".1f", labelOverlap=True)
_LENGTH_AXIS = alt.Axis(format="~s", values=[step * 10**power for power in range(10) for step in (1, 3)], grid=True)


def _chart(rows: Rows) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=rows))


def _p_bins(axis: alt.Axis | None) -> alt.X:
    """Return the place of a bin of p_virus; its end is the field `to`."""
    return alt.X("from:Q", bin="binned", title=_TITLE, axis=axis, scale=_UNIT)


def _bin(place: int, bins: int) -> dict[str, float]:
    """Return the limits of a bin of p_virus."""
    return {"from": round(place / bins, 6), "to": round((place + 1) / bins, 6)}


def _added(counts: Sequence[Int64s]) -> Int64s:
    """Return the sum of counts of all samples."""
    total: Int64s = np.sum(counts, axis=0)
    return total


def _coloured(field: str, names: Mapping[str, str], palette: Palette) -> alt.Color:
    """Return the colour of a mark by a field, whose values `names` gives with the names of their colours."""
    scale = alt.Scale(domain=list(names), range=[palette[colour] for colour in names.values()])
    return alt.Color(f"{field}:N", scale=scale, legend=alt.Legend(title=None))


def _samples(names: Sequence[str], *, axis: bool = True) -> alt.Y:
    """Return the place of a sample, in the order of `names`, with or without an axis."""
    extent = _names_extent(names)
    shown = alt.Axis(ticks=False, labelLimit=extent - 8, minExtent=extent, maxExtent=extent)
    return alt.Y("sample:N", sort=list(names), title=None, axis=shown if axis else None)


def _names_extent(names: Sequence[str]) -> int:
    """Return the width in pixels that names of samples get: a letter is some six wide."""
    return min(24 + 6 * max(map(len, names), default=0), 180)


def _count(field: str) -> alt.Tooltip:
    return alt.Tooltip(f"{field}:Q", format=",")


def _share(field: str) -> alt.Tooltip:
    return alt.Tooltip(f"{field}:Q", format=".1%")
