"""The report, and pages that look like it: HTML files with text, figures and all that draws them, without a network."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import itables.options
import jinja2

from virnucpro_kernels import __version__
from virnucpro_kernels.files import DATA, atomic_path
from virnucpro_kernels.pool.job_record import counted, length_in_words
from virnucpro_kernels.report import overview, palette
from virnucpro_kernels.report.methods import CITATIONS, describe_methods
from virnucpro_kernels.report.page_data import page_data
from virnucpro_kernels.report.provenance import describe_provenance
from virnucpro_kernels.report.render import browser_script
from virnucpro_kernels.report.shown import MOST_BARS, Shown, has_points
from virnucpro_kernels.run.failed_table import Failure

#: Templates, style and scripts of the pages.
_PARTS = DATA / "report"


def write_page(path: Path, title: str, shown: Shown, failures: Sequence[Failure] = ()) -> None:
    """Write the report.

    Args:
        path: HTML file to write.
        title: Name of the run.
        shown: Samples, their counts, and the contigs that are shown one by one.
        failures: Failures of the run, whose samples are not among these.
    """
    tables = Path(itables.options.dt_bundle)
    render_page(
        path,
        "page",
        page_data(shown),
        title=title,
        samples=overview.describe_samples(shown),
        total=overview.describe_total(shown),
        reasons=overview.describe_reasons(shown),
        models=overview.describe_models(shown),
        warnings=overview.describe_warnings(shown),
        failures=failures,
        methods=describe_methods(shown.samples),
        citations=CITATIONS,
        provenance=describe_provenance(shown.samples),
        drawn=min(len(shown.samples), MOST_BARS),
        rows=len(shown.table),
        tracks=len(shown.tracks),
        has_points=has_points(shown),
        datatables=base64.b64encode(tables.read_bytes()).decode(),
        datatables_style=tables.with_suffix(".css").read_text(encoding="utf-8"),
    )


def render_page(path: Path, name: str, data: dict[str, Any], **content: Any) -> None:
    """Write a page with the look of the report.

    Args:
        path: HTML file to write.
        name: Name of its template among the parts; its script is called the same.
        data: What the script works on, of types that JSON has: `figures` and `light`, the colours of saved figures.
        content: What the template names.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_PARTS),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"bases": length_in_words, "counted": counted}
    html = environment.get_template(f"{name}.html").render(
        version=__version__,
        data=_json(data),
        colours=palette.THEMES,
        style=_read("page.css"),
        script=_read("base.js") + _read(f"{name}.js"),
        vega=browser_script(),
        **content,
    )
    with atomic_path(path) as temporary:
        temporary.write_text(html, encoding="utf-8")


def _read(name: str) -> str:
    return (_PARTS / name).read_text(encoding="utf-8")


def _json(value: Any) -> str:
    """Return a value as JSON that can stand in HTML."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
