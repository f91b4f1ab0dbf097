"""Colours of the figures, which people with any colour vision tell apart, and their common look."""

from collections.abc import Mapping

import altair as alt

Palette = Mapping[str, str]

#: Colours by what they stand for (Okabe and Ito; tiers in shades of one colour), on white.
LIGHT: Palette = {
    "viral": "#D55E00",
    "high": "#A34700",
    "medium": "#E0741F",
    "low": "#F2B27F",
    "ambiguous": "#B8A14A",
    "host": "#0072B2",
    "third": "#009E73",
    "fourth": "#CC79A7",
    "none": "#B9BDC3",
    "without": "#DFE2E6",
    "ink": "#1B1F24",
    "soft": "#5B6570",
    "line": "#D5D9DE",
    "band": "#F1F2F4",
    "paper": "#FFFFFF",
}
_DARK: Palette = {
    "viral": "#FF8A3D",
    "high": "#FF7A1A",
    "medium": "#C46A2E",
    "low": "#855233",
    "ambiguous": "#CDB75F",
    "host": "#4BA3DE",
    "third": "#2FBE93",
    "fourth": "#E09AC2",
    "none": "#7A828C",
    "without": "#3A4149",
    "ink": "#E8EAED",
    "soft": "#A3ACB6",
    "line": "#3A4149",
    "band": "#22272D",
    "paper": "#15181C",
}
#: Colours on a light page and on a dark one.
THEMES = {name: (colour, _DARK[name]) for name, colour in LIGHT.items()}
#: The same names as CSS variables, which the page sets, so that its figures follow its theme.
OF_PAGE: Palette = {name: f"var(--{name})" for name in LIGHT}

#: Names of the colours of things that are compared and have none of their own, in order.
SERIES = ("host", "viral", "third", "fourth", "ambiguous", "ink")

_FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"


def styled(chart: alt.TopLevelMixin, palette: Palette, room: int = 84) -> alt.TopLevelMixin:
    """Return a chart with the common look: few lines, small type, no frame.

    Args:
        chart: Chart to style.
        palette: Colours.
        room: Width in pixels that axes, gaps and margins take; the page fits the rest to the width that it has.
    """
    figure: alt.TopLevelMixin = (
        chart.properties(usermeta={"room": room})
        .configure(font=_FONT, background=palette["paper"], padding=6)
        .configure_view(stroke=None)
        .configure_axis(
            domain=False,
            grid=False,
            labelColor=palette["soft"],
            labelFontSize=11,
            titleColor=palette["soft"],
            titleFontSize=11,
            titleFontWeight="normal",
            tickColor=palette["line"],
            tickSize=4,
            gridColor=palette["line"],
        )
        .configure_axisY(minExtent=44, maxExtent=44)
        .configure_legend(
            labelColor=palette["ink"],
            labelFontSize=11,
            titleColor=palette["soft"],
            titleFontSize=11,
            titleFontWeight="normal",
            orient="top",
            symbolType="square",
            symbolSize=90,
            symbolStrokeWidth=0,
            symbolOpacity=1,
        )
        .configure_title(
            color=palette["ink"], fontSize=13, fontWeight=600, anchor="start", subtitleColor=palette["soft"], offset=10
        )
    )
    return figure
