"""The figure of a sweep: calls, agreement and time of each setting, all samples together."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from virnucpro_kernels.files import atomic_path
from virnucpro_kernels.pool.columns import NOT_AVAILABLE
from virnucpro_kernels.tools.sweep import CALLS, TIMED, Row

#: Colours that people with any colour vision tell apart (Okabe and Ito); grey is for contigs without a call.
_COLOURS = {
    "viral": "#D55E00",
    "host": "#0072B2",
    "none": "#BBBBBB",
    "embed": "#009E73",
    "classify": "#E69F00",
    "collect": "#56B4E9",
}


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write the figure of a comparison as SVG; the same rows give the same bytes.

    Args:
        rows: The comparison, those of each setting together.
        path: File to write.
    """
    settings: dict[str, list[Row]] = {}
    for row in rows:
        settings.setdefault(row.setting, []).append(row)
    figure = Figure(figsize=(12, 1.8 + 0.4 * len(settings)), layout="constrained")
    calls, agreement, time = figure.subplots(1, 3, sharey=True)
    _bars(calls, {call: [_sum(group, call) for group in settings.values()] for call in CALLS})
    calls.set(xlabel="contigs", title="calls")
    calls.set_yticks(range(len(settings)), list(settings))
    calls.invert_yaxis()
    agreement.barh(range(len(settings)), [100 * _agreement(group) for group in settings.values()], color="#999999")
    agreement.set(xlabel="% of contigs", xlim=(0, 100), title=f"same call as {next(iter(settings), '')}")
    _bars(time, {stage: [_sum(group, f"{stage}_seconds") for group in settings.values()] for stage in TIMED})
    time.set(xlabel="seconds", title="time of jobs")
    for axes in (calls, time):
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.25), ncols=3, frameon=False)
    with mpl.rc_context({"svg.hashsalt": "virnucpro", "svg.fonttype": "none"}), atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})


def _bars(axes: Axes, parts: dict[str, list[float]]) -> None:
    """Draw a bar for each setting that is made of named parts."""
    left = [0.0] * len(next(iter(parts.values())))
    for name, values in parts.items():
        axes.barh(range(len(values)), values, left=left, label=name, color=_COLOURS[name])
        left = [begin + value for begin, value in zip(left, values, strict=True)]


def _sum(rows: Sequence[Row], name: str) -> float:
    return sum(float(getattr(row, name)) for row in rows)


def _agreement(rows: Sequence[Row]) -> float:
    """Return the fraction of the contigs of all samples that have the same call as under the first setting."""
    compared = [row for row in rows if row.agreement != NOT_AVAILABLE]
    contigs = sum(row.contigs for row in compared)
    return sum(float(row.agreement) * row.contigs for row in compared) / contigs if contigs else 1.0
