"""A benchmark beside an earlier one: what became slower."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from virnucpro_kernels.bench.results import Results
from virnucpro_kernels.errors import UsageError

SLOWER = 0.05
#: Of each list of the results: what a row is called, and its figures that are compared.
_COMPARED = {
    "rates": ("{encoder} {precision} {workload} budget {token_budget}", ("tokens_per_second",)),
    "chunks": ("chunk {frames}x{residues} {encoder} {precision}", ("tokens_per_second", "start_seconds")),
    "samples": ("sample of {reads} reads {encoder} {precision} on {gpus} GPUs", ("seconds",)),
}
#: A figure by the name of its row and its own.
Figures = dict[tuple[str, str], float]


def read_figures(path: Path) -> Figures:
    """What can be compared of an earlier run, by its JSON; figures that an older version did not have are left out.

    :raises UsageError: the file holds no results of this kind, or none at all.
    """
    try:
        figures = _figures(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"--compare {path}: not the JSON of a benchmark ({error})") from error
    if not figures:
        raise UsageError(f"--compare {path}: not the JSON of a benchmark, or of one that measured nothing")
    return figures


def _figures(results: Mapping[str, Any]) -> Figures:
    return {
        (name.format(**row), figure): float(row[figure])
        for part, (name, figures) in _COMPARED.items()
        for row in results.get(part, ())
        for figure in figures
        if figure in row and 0 < row[figure] < math.inf
    }


def compare(results: Results, before: Figures, path: Path) -> tuple[list[str], int, int]:
    """Say what is more than 5 % slower than before, how many figures were compared, and how many there are now.

    :param path: the file that `before` was read from.
    :raises UsageError: the two runs have nothing in common.
    """
    now = _figures(asdict(results))
    common = [key for key in now if key in before]
    if not common:
        raise UsageError(f"--compare {path}: nothing to compare; it has {_rows(before)}, and this run {_rows(now)}")
    slower = []
    for row, figure in common:
        new, old = now[row, figure], before[row, figure]
        change = new / old - 1
        if figure == "tokens_per_second" and change < -SLOWER:
            slower.append(f"{row}: {new:,.0f} tokens/s, {-change:.1%} less than {old:,.0f}")
        elif figure != "tokens_per_second" and change > SLOWER:
            slower.append(f"{row}: {figure.replace('_', ' ')} {new:,.1f}, {change:.1%} more than {old:,.1f}")
    return slower, len(common), len(now)


def _rows(figures: Figures) -> str:
    return ", ".join(dict.fromkeys(f"`{row}`" for row, _ in figures)) or "nothing"
