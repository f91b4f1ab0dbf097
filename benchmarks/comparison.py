"""A benchmark beside an earlier one: what became worse, and what was not measured again."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.results import Results
from virnucpro_kernels.bench.results import WORSE
from virnucpro_kernels.errors import UsageError

#: A rate that was measured for fewer seconds varies by more than `WORSE`.
_LONG_ENOUGH = 1.0
_RATE = "tokens/s"
#: For each list of the results: the name of a row, and the figures that are compared, with their names.
_COMPARED = {
    "rates": (
        "{encoder} {precision} {workload} budget {token_budget}",
        {"tokens_per_second": _RATE, "reserved_gigabytes": "reserved GB"},
    ),
    "layers": ("layer of {encoder} {precision} {workload} budget {token_budget}", {}),
    "chunks": (
        "chunk {frames}x{residues} {encoder} {precision}",
        {"tokens_per_second": _RATE, "start_seconds": "start seconds", "reserved_gigabytes": "reserved GB"},
    ),
    "samples": (
        "sample of {reads} reads {encoder} {precision} on {gpus} GPUs",
        {"seconds": "seconds", "embed_seconds": "embedding seconds"},
    ),
}


@dataclass(frozen=True)
class Figures:
    """Figures of a run that can be compared.

    Attributes:
        values: Figures by the name of their row and their own.
        short: Rows whose rate was measured for less than a second.
    """

    values: Mapping[tuple[str, str], float]
    short: frozenset[str]

    def rows(self) -> str:
        """Return the names of the rows."""
        return ", ".join(dict.fromkeys(f"`{row}`" for row, _ in self.values)) or "nothing"


@dataclass(frozen=True)
class Comparison:
    """A run beside an earlier one.

    Attributes:
        worse: Figures that are more than 5 % worse, a line for each.
        missing: Rows that were not measured again, a line for each.
        short: Rows whose rates are uncertain by more than 5 %, since they were measured for less than a second.
        compared, earlier: Number of figures that were measured again, and that the earlier run has.
    """

    worse: list[str]
    missing: list[str]
    short: list[str]
    compared: int
    earlier: int

    def lines(self, path: Path) -> list[str]:
        """Return the findings for people; `path` is the file of the earlier run."""
        lines = [
            f"{self.compared} of {self.earlier} earlier figures ({path}) were measured again: {len(self.worse)} are"
            f" over {WORSE:.0%} worse"
        ]
        lines += [f"worse: {line}" for line in self.worse]
        lines += [f"not measured again: {line}" for line in self.missing]
        if self.short:
            lines.append(
                f"measured for less than a second, so these rates vary by more than {WORSE:.0%} (longer with --seconds"
                f" or --rounds): {', '.join(self.short)}"
            )
        return lines


def read_figures(path: Path) -> Figures:
    """Return the figures of an earlier run from its JSON; those that an older version did not have are left out.

    Raises:
        UsageError: the file holds no results of a benchmark.
    """
    try:
        figures = _figures(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"--compare {path}: not the JSON of a benchmark ({error})") from error
    if not figures.values:
        raise UsageError(f"--compare {path}: not the JSON of a benchmark, or of one that measured nothing")
    return figures


def _figures(results: Mapping[str, Any]) -> Figures:
    named = [
        (name.format(**row), row, figures)
        for part, (name, figures) in _COMPARED.items()
        for row in results.get(part, ())
    ]
    values = {
        (name, figure): float(value)
        for name, row, figures in named
        for figure, value in _values(row, figures)
        if value is not None and 0 < value < math.inf
    }
    # Earlier versions do not say for how long.
    short = frozenset(name for name, row, _ in named if row.get("measured_seconds", _LONG_ENOUGH) < _LONG_ENOUGH)
    return Figures(values, short)


def _values(row: Mapping[str, Any], figures: Mapping[str, str]) -> Iterator[tuple[str, float | None]]:
    for field, figure in figures.items():
        yield figure, row.get(field)
    for part in row.get("parts", ()):
        yield f"{part['name']}, ms", part["milliseconds"]


def compare(results: Results, before: Figures, path: Path) -> Comparison:
    """Find what is more than 5 % worse than before, and what was not measured again.

    Args:
        results: Results of this run.
        before: Figures of the earlier run.
        path: File that `before` was read from.

    Raises:
        UsageError: the two runs have no figure in common.
    """
    now = _figures(asdict(results))
    common = [key for key in before.values if key in now.values]
    if not common:
        raise UsageError(f"--compare {path}: nothing to compare; it has {before.rows()}, and this run {now.rows()}")
    worse = []
    for row, figure in common:
        new, old = now.values[row, figure], before.values[row, figure]
        change = new / old - 1
        if figure == _RATE and change < -WORSE:
            worse.append(f"{row}: {new:,.0f} {figure}, {-change:.1%} less than {old:,.0f}")
        elif figure != _RATE and change > WORSE:
            worse.append(f"{row}: {figure} {new:,.4g}, {change:.1%} more than {old:,.4g}")
    rates = [row for row, figure in common if figure == _RATE]
    short = [row for row in rates if row in now.short | before.short]
    return Comparison(worse, _missing(before, now), short, len(common), len(before.values))


def _missing(before: Figures, now: Figures) -> list[str]:
    """Return rows that are not there, and figures that rows do not have."""
    rows: dict[str, list[str]] = {}
    for row, figure in before.values:
        if (row, figure) not in now.values:
            rows.setdefault(row, []).append(figure)
    there = {row for row, _ in now.values}
    return [f"{row}: {'; '.join(figures)}" if row in there else row for row, figures in rows.items()]
