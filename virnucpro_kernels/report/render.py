"""Figures to files, and the scripts that draw them in a browser: the same Vega-Lite in both."""

from functools import cache
from pathlib import Path

import altair as alt
import vl_convert

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import atomic_path

#: Version of Vega-Lite that the figures are written in, as in `6.4`.
_VERSION = alt.SCHEMA_VERSION.removeprefix("v").rpartition(".")[0]
_PNG_SCALE = 3


def write_figure(chart: alt.TopLevelMixin, path: Path) -> None:
    """Write a figure as SVG or PNG, by the suffix of `path`; the same figure gives the same bytes.

    Raises:
        UsageError: the suffix is neither.
    """
    spec = chart.to_dict()
    match path.suffix.lower():
        case ".svg":
            content = vl_convert.vegalite_to_svg(spec, vl_version=_VERSION).encode()
        case ".png":
            content = vl_convert.vegalite_to_png(spec, vl_version=_VERSION, scale=_PNG_SCALE)
        case _:
            raise UsageError(f"{path}: a figure is written as .svg or .png")
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


@cache
def browser_script() -> str:
    """Return the script that gives a page `vegaEmbed`, without a network."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=_VERSION)
