"""What an evaluation found: all measures as a table and as JSON for programs, the important ones as Markdown."""

import json
import math
from pathlib import Path

from virnucpro_kernels import __version__
from virnucpro_kernels.evaluate.evaluate import Evaluation, Key, Measured
from virnucpro_kernels.evaluate.tables import Table, notes, related_contigs, tables
from virnucpro_kernels.files import atomic_path
from virnucpro_kernels.pool.columns import NOT_AVAILABLE
from virnucpro_kernels.pool.tsv import write_table

TABLE, JSON, PAGE = "evaluation.tsv", "evaluation.json", "evaluation.html"


def write_measures(evaluation: Evaluation, path: Path) -> None:
    """Write a row for each measure: the fields of `Key` and of `Measured`."""
    columns = (*Key._fields, *Measured.__dataclass_fields__)
    rows = ((key, map(_number, (of.value, of.low, of.high)), of) for key, of in evaluation.measured.items())
    write_table(path, columns, ([*key, *values, of.n, of.viral] for key, values, of in rows))


def _number(value: float) -> str:
    return NOT_AVAILABLE if math.isnan(value) else f"{value:.6f}"


def write_json(evaluation: Evaluation, path: Path) -> None:
    """Write all that was found, `null` for what is not defined."""
    truth, relatives = evaluation.truth, evaluation.relatives
    content = {
        "version": __version__,
        "truth": {"path": str(truth.path), **truth.counts()},
        "draws": evaluation.draws,
        "seed": evaluation.seed,
        "notes": notes(evaluation),
        "results": [
            {
                "name": one.name,
                "path": str(one.path),
                "contigs_without_call": one.without_call,
                "contigs_not_in_results": one.not_there,
                "contigs_without_truth": one.without_truth,
                "viral_share_of_calibration": one.share,
            }
            for one in evaluation.results
        ],
        "related_to_training": None if relatives is None else related_contigs(relatives, truth),
        "measures": [
            {**key._asdict(), **{name: None if math.isnan(value) else value for name, value in vars(of).items()}}
            for key, of in evaluation.measured.items()
        ],
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def markdown(evaluation: Evaluation) -> str:
    """Return notes and tables; `evaluation.tsv` has all figures, those of families too."""
    counts = ", ".join(f"{number:,} {label}" for label, number in evaluation.truth.counts().items())
    listed = "\n".join(f"- {note}" for note in notes(evaluation))
    parts = [f"contigs of the truth: {counts}", listed, *map(_in_markdown, tables(evaluation).values())]
    return "\n\n".join(filter(None, parts)) + "\n"


def _in_markdown(table: Table) -> str:
    """Return a table with columns of even width; nothing where it has no lines."""
    if not table.lines:
        return ""
    widths = [max(map(len, column)) for column in zip(table.header, *table.lines, strict=True)]
    rule = ["-" * width for width in widths]
    rows = [
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))} |"
        for cells in (table.header, rule, *table.lines)
    ]
    return "\n".join([f"{table.title}:", "", *rows])
