"""The page of an evaluation: figures and tables in one HTML file, in the look of the report."""

from pathlib import Path

from virnucpro_kernels.evaluate.evaluate import AS_HOST, Evaluation, Key
from virnucpro_kernels.evaluate.figures import figures
from virnucpro_kernels.evaluate.tables import notes, tables
from virnucpro_kernels.report import palette
from virnucpro_kernels.report.page import render_page


def write_page(evaluation: Evaluation, path: Path) -> None:
    """Write the page."""
    drawn = {name: figure.to_dict() for name, figure in figures(evaluation, palette.OF_PAGE).items()}
    render_page(
        path,
        "evaluation",
        {"figures": drawn, "light": palette.LIGHT},
        title=_title(evaluation),
        truth=evaluation.truth.path.name,
        counts=evaluation.truth.counts(),
        notes=notes(evaluation),
        tables=tables(evaluation),
        figures=set(drawn),
        facts=_facts(evaluation),
    )


def _title(evaluation: Evaluation) -> str:
    """Return the best AUROC of contigs in words, or what else there is."""
    keys = {one.name: Key(one.name, "contigs", "all", AS_HOST, "auroc") for one in evaluation.results}
    found = {name: evaluation.measured[key].value for name, key in keys.items() if key in evaluation.measured}
    if not found:
        return f"{len(evaluation.truth):,} contigs of one class"
    best = max(found, key=lambda name: found[name])
    return f"{best}: AUROC {found[best]:.3f} of {evaluation.measured[keys[best]].n:,} contigs"


def _facts(evaluation: Evaluation) -> dict[str, str]:
    draws = f"{evaluation.draws:,} draws of the groups, seed {evaluation.seed}" if evaluation.draws else "none"
    results = {f"results {one.name}": str(one.path) for one in evaluation.results}
    return {"truth": str(evaluation.truth.path), **results, "intervals": draws}
