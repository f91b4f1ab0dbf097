"""Figures of an evaluation, in the look of the report: all are of contigs, those without a call as host."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import altair as alt
import numpy as np

from virnucpro_kernels.evaluate.calibration import BINS, NOMINAL
from virnucpro_kernels.evaluate.evaluate import AS_HOST, LEFT_OUT, Evaluation, Key, Measured
from virnucpro_kernels.evaluate.measures import Rows, curve_points
from virnucpro_kernels.report.palette import SERIES, Palette, styled

Row = dict[str, Any]

_CURVE_POINTS = 300
_UNIT = alt.Scale(domain=[0, 1], nice=False)
_STRETCHED = alt.Scale(type="sqrt", domain=[0, 1], nice=False)
_STRETCHED_AXIS = alt.Axis(values=[0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1], format="%", grid=True)
_SHARES = alt.Axis(format=".1f", tickCount=5, grid=True)
_SIDE, _WIDE, _STEP = 300, 800, 16


def figures(evaluation: Evaluation, palette: Palette) -> dict[str, alt.TopLevelMixin]:
    """Return those figures for which there is something to draw, by name."""
    drawn = _Figures(evaluation, palette)
    every: dict[str, Callable[[], alt.TopLevelMixin | None]] = {
        "roc": drawn.roc,
        "precision": drawn.precision,
        "kinds": drawn.kinds,
        "false_positives": drawn.false_positives,
        "families": drawn.families,
        "lengths": drawn.lengths,
        "reliability": drawn.reliability,
        "fdr": drawn.fdr,
    }
    found = {name: draw() for name, draw in every.items()}
    return {name: figure for name, figure in found.items() if figure is not None}


class _Figures:
    """The figures of one evaluation; each method returns None where there is nothing to draw."""

    def __init__(self, evaluation: Evaluation, palette: Palette) -> None:
        self._evaluation, self._palette = evaluation, palette
        self._names = [one.name for one in evaluation.results]
        colours = [palette[SERIES[place % len(SERIES)]] for place in range(len(self._names))]
        legend = alt.Legend(title=None) if len(self._names) > 1 else None
        self._colour = alt.Color("results:N", scale=alt.Scale(domain=self._names, range=colours), legend=legend)

    def roc(self) -> alt.TopLevelMixin | None:
        """Recall against false positive rate, and where the calls are."""
        curves = self._curves()
        if not curves:
            return None
        x = alt.X("fpr:Q", title="false positive rate", axis=_STRETCHED_AXIS, scale=_STRETCHED)
        y = alt.Y("recall:Q", title="recall", axis=_SHARES, scale=_UNIT)
        line = _chart(curves).mark_line(strokeWidth=2).encode(x=x, y=y, color=self._colour, order="order:Q")
        points = self._calls().encode(x=x, y=y)
        chance = [{"fpr": rate, "recall": rate, "order": rate} for rate in np.linspace(0, 1, 50).round(3).tolist()]
        diagonal = _chart(chance).mark_line(strokeDash=[3, 3], color=self._palette["soft"])
        return self._square(diagonal.encode(x=x, y=y, order="order:Q") + line + points)

    def precision(self) -> alt.TopLevelMixin | None:
        """Precision against recall."""
        if not (curves := self._curves()):
            return None
        x = alt.X("recall:Q", title="recall", axis=_SHARES, scale=_UNIT)
        y = alt.Y("precision:Q", title="precision", axis=_SHARES, scale=_UNIT)
        line = _chart(curves).mark_line(strokeWidth=2).encode(x=x, y=y, color=self._colour, order="order:Q")
        return self._square(line + self._calls().encode(x=x, y=y))

    def kinds(self) -> alt.TopLevelMixin | None:
        """AUROC of all contigs, of domains and of categories."""
        subsets = [subset for kind in ("all", "unrelated", "domain", "category") for subset in self._of(kind)]
        return self._intervals(subsets, "auroc", "AUROC", least=2, mark=0.5)

    def false_positives(self) -> alt.TopLevelMixin | None:
        """Hosts and controls that are called viral, by category."""
        return self._intervals(["all", *self._of("category")], "false_positive_rate", "false positive rate", least=2)

    def families(self) -> alt.TopLevelMixin | None:
        """Recall of each family."""
        return self._intervals(self._of("family"), "recall", "recall", least=1)

    def lengths(self) -> alt.TopLevelMixin | None:
        """Three measures by length."""
        subsets = self._of("length")
        titles = {
            "auroc": "AUROC",
            "recall_at_1_percent_fpr": "recall at 1 % false positives",
            "false_positive_rate": "false positive rate of the calls",
        }
        parts = {measure: self._rows(subsets, measure) for measure in titles}
        if len(subsets) < 2 or not all(parts.values()):
            return None
        order = [subset.partition(":")[2] for subset in subsets]
        charts = []
        for measure, rows in parts.items():
            base = _chart(rows).encode(
                x=alt.X("subset:N", sort=order, title="length (bp)", axis=alt.Axis(labelAngle=-40)), color=self._colour
            )
            y = alt.Y("value:Q", title=titles[measure], axis=_SHARES, scale=_UNIT)
            line = base.mark_line(strokeWidth=2, point=True).encode(y=y, tooltip=_tooltip(measure))
            charts.append(base.mark_rule().encode(y=alt.Y("low:Q", scale=_UNIT), y2="high:Q") + line)
        joined = alt.hconcat(*(chart.properties(width=240, height=220) for chart in charts), spacing=24)
        return styled(joined, self._palette, room=230)

    def reliability(self) -> alt.TopLevelMixin | None:
        """Fraction that is viral against the mean probability, by bin."""
        rows: list[Row] = []
        for name in self._names:
            for number in range(BINS):
                subset = f"p_virus:{number / BINS:.1f}-{(number + 1) / BINS:.1f}"
                key = Key(name, "contigs", subset, LEFT_OUT, "fraction_viral")
                if of := self._evaluation.measured.get(key):
                    mean = self._evaluation.measured[key._replace(measure="mean_p_virus")].value
                    rows.append({"results": name, "at": mean, "value": of.value, **_limits(of), "n": of.n})
        return self._against_nominal(rows, "mean p_virus", "fraction viral", 1.0)

    def fdr(self) -> alt.TopLevelMixin | None:
        """Realised against nominal false discovery rate."""
        rows: list[Row] = []
        for name in self._names:
            for nominal in NOMINAL:
                of = self._evaluation.measured.get(Key(name, "contigs", f"fdr:{nominal:g}", LEFT_OUT, "realised_fdr"))
                if of and not math.isnan(of.value):
                    rows.append({"results": name, "at": nominal, "value": of.value, **_limits(of), "n": of.n})
        return self._against_nominal(rows, "nominal false discovery rate", "realised", 0.5)

    def _against_nominal(
        self, rows: Sequence[Row], x_title: str, y_title: str, most: float
    ) -> alt.TopLevelMixin | None:
        if not rows:
            return None
        most = max(most, *(row["value"] for row in rows), *(row["high"] or 0 for row in rows))
        scale = alt.Scale(domain=[0, min(most, 1.0)], nice=False)
        x = alt.X("at:Q", title=x_title, axis=_SHARES, scale=scale)
        y = alt.Y("value:Q", title=y_title, axis=_SHARES, scale=scale)
        line = _chart([{"at": 0, "value": 0}, {"at": 1, "value": 1}]).mark_line(
            strokeDash=[3, 3], color=self._palette["soft"], clip=True
        )
        base = _chart(rows).encode(x=x, color=self._colour)
        marks = base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=50))
        tooltip = [*_tooltip(y_title), alt.Tooltip("n:Q", format=",")]
        limits = base.mark_rule().encode(y=alt.Y("low:Q", scale=scale), y2="high:Q")
        return self._square(line.encode(x=x, y=y) + limits + marks.encode(y=y, tooltip=tooltip))

    def _intervals(
        self, subsets: Sequence[str], measure: str, title: str, *, least: int, mark: float | None = None
    ) -> alt.TopLevelMixin | None:
        """Return a measure with its interval for each subset, and a line at `mark`; None for fewer than `least`."""
        rows = self._rows(subsets, measure)
        order = list(dict.fromkeys(row["subset"] for row in rows))
        if len(order) < least:
            return None
        extent = min(24 + 6 * max(map(len, order)), 220)
        axis = alt.Axis(ticks=False, labelLimit=extent - 8, minExtent=extent, maxExtent=extent, grid=True)
        step = alt.Step(_STEP + 6 * (len(self._names) - 1), **{"for": "position"})
        base = _chart(rows).encode(
            y=alt.Y("subset:N", sort=order, title=None, axis=axis),
            yOffset=alt.YOffset("results:N", sort=self._names),
            color=self._colour,
        )
        x = alt.X("value:Q", title=title, axis=_SHARES, scale=_UNIT)
        tooltip = [*_tooltip(measure), alt.Tooltip("n:Q", format=","), alt.Tooltip("viral:Q", format=",")]
        points = base.mark_point(filled=True, size=46, opacity=1).encode(x=x, tooltip=tooltip)
        layers = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", scale=_UNIT), x2="high:Q") + points
        if mark is not None:
            rule = _chart([{"value": mark}]).mark_rule(strokeDash=[3, 3], color=self._palette["soft"])
            layers = rule.encode(x=x) + layers
        return styled(layers.properties(width=_WIDE, height=step), self._palette, room=34 + extent)

    def _rows(self, subsets: Sequence[str], measure: str) -> list[Row]:
        rows: list[Row] = []
        for subset in subsets:
            for name in self._names:
                of = self._evaluation.measured.get(Key(name, "contigs", subset, AS_HOST, measure))
                if of and not math.isnan(of.value):
                    title = subset.partition(":")[2] or subset
                    rows.append(
                        {
                            "results": name,
                            "subset": title,
                            "value": of.value,
                            **_limits(of),
                            "n": of.n,
                            "viral": of.viral,
                        }
                    )
        return rows

    def _of(self, kind: str) -> list[str]:
        return self._evaluation.subsets("contigs", kind)

    def _calls(self) -> alt.Chart:
        """Return a point for the calls of each of the results, with the rates of both figures."""
        rows: list[Row] = []
        for name in self._names:
            key = Key(name, "contigs", "all", AS_HOST, "")
            measures = {"fpr": "false_positive_rate", "recall": "recall", "precision": "precision"}
            values = {rate: self._evaluation.measured[key._replace(measure=of)].value for rate, of in measures.items()}
            if not any(map(math.isnan, values.values())):
                rows.append({"results": name, **values})
        marks: alt.Chart = _chart(rows).mark_point(filled=True, size=70, opacity=1)
        return marks.encode(color=self._colour)

    def _curves(self) -> list[Row]:
        """Return points along the curves of all results; none where the truth has one class only."""
        truth = self._evaluation.truth
        either = truth.is_virus | truth.is_host
        if not truth.is_virus.any() or not truth.is_host.any():
            return []
        rows: list[Row] = []
        for one in self._evaluation.results:
            level = one.levels[0]
            every = Rows(np.zeros(len(truth), np.int64), truth.is_virus, level.score, level.called)
            points = zip(
                *(values.round(4).tolist() for values in curve_points(every.pick(either), _CURVE_POINTS)), strict=True
            )
            rows += [
                {"results": one.name, "order": order, "fpr": fpr, "recall": recall, "precision": precision}
                for order, (fpr, recall, precision) in enumerate(points)
            ]
        return rows

    def _square(self, chart: alt.LayerChart) -> alt.TopLevelMixin:
        return styled(chart.properties(width=_SIDE, height=_SIDE), self._palette)


def _limits(of: Measured) -> Row:
    return {name: None if math.isnan(value) else value for name, value in (("low", of.low), ("high", of.high))}


def _tooltip(measure: str) -> list[Any]:
    title = measure.replace("_", " ")
    shown = {"value": title, "low": "95 % from", "high": "to"}
    return ["results:N", *(alt.Tooltip(f"{name}:Q", format=".3f", title=words) for name, words in shown.items())]


def _chart(rows: Sequence[Row]) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=list(rows)))
