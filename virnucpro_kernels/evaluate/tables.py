"""The most important figures of an evaluation as tables for people, and what they must know to read them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from virnucpro_kernels.evaluate.calibration import BINS, NOMINAL, Reliability
from virnucpro_kernels.evaluate.evaluate import AS_HOST, LEFT_OUT, Evaluation, Key, Measured
from virnucpro_kernels.evaluate.relatives import RELATED, Relatives
from virnucpro_kernels.evaluate.results import Results
from virnucpro_kernels.evaluate.truth import Truth, listed
from virnucpro_kernels.pool.job_record import counted
from virnucpro_kernels.report.words import percent

#: Columns of the tables: measure and heading.
_SHOWN = {
    "auroc": "AUROC (95 %)",
    "average_precision": "AP",
    "recall_at_1_percent_fpr": "recall at 1 % FPR",
    "recall_at_5_percent_fpr": "at 5 % FPR",
    "recall": "recall",
    "false_positive_rate": "FPR (95 %)",
    "precision": "precision",
    "f1": "F1",
    "mcc": "MCC",
}
_WITH_INTERVAL = {"auroc", "false_positive_rate", "expected_calibration_error", "realised_fdr"}
_WORDS = {AS_HOST: "as host", LEFT_OUT: "left out"}
_Lines = Iterator[list[str]]


@dataclass(frozen=True)
class Table:
    """A title, the names of the columns, and lines of cells."""

    title: str
    header: list[str]
    lines: list[list[str]]


def tables(evaluation: Evaluation) -> dict[str, Table]:
    """Return the tables by name, those without lines too."""
    measures = list(_SHOWN.values())
    rates = [f"realised at FDR {100 * nominal:g} %" for nominal in NOMINAL]
    bins = [f"{number / BINS:.1f}-{(number + 1) / BINS:.1f}" for number in range(BINS)]
    return {
        "overall": Table(
            "All rows, by what becomes of those without a call",
            ["results", "level", "no call", "rows", *measures],
            list(_overall(evaluation)),
        ),
        "differences": Table(
            "Differences of the AUROC, of the same draws of groups",
            ["results", "level", "subset", "difference (95 %)"],
            list(_differences(evaluation)),
        ),
        "subsets": Table(
            "Contigs by kind and length; those without a call count as host",
            ["subset", "results", "rows", *measures],
            list(_by_subset(evaluation)),
        ),
        "calibration": Table(
            "Expected calibration error (ECE), and false discovery rates as they came out",
            ["results", "level", "rows", "ECE (95 %)", *rates],
            list(_calibrations(evaluation)),
        ),
        "reliability": Table(
            "Fraction that is viral, by p_virus",
            ["results", "level", *bins],
            list(_reliabilities(evaluation)),
        ),
    }


def _overall(evaluation: Evaluation) -> _Lines:
    for one in evaluation.results:
        for level in one.levels:
            for without_call, words in _WORDS.items():
                key = Key(one.name, level.name, "all", without_call, "")
                if figures := _figures(evaluation, key):
                    yield [one.name, level.name, words, *figures]


def _by_subset(evaluation: Evaluation) -> _Lines:
    for kind in ("unrelated", "domain", "category", "length"):
        for subset in evaluation.subsets("contigs", kind):
            for one in evaluation.results:
                if figures := _figures(evaluation, Key(one.name, "contigs", subset, AS_HOST, "")):
                    yield [subset, one.name, *figures]


def _figures(evaluation: Evaluation, key: Key) -> list[str]:
    """Return number of rows and all shown measures of a subset; nothing where it has none."""
    found = [evaluation.measured.get(key._replace(measure=measure)) for measure in _SHOWN]
    rows = next((f"{of.n:,}" for of in found if of is not None), None)
    return [] if rows is None else [rows, *map(_cell, _SHOWN, found)]


def _cell(measure: str, of: Measured | None) -> str:
    if of is None or math.isnan(of.value):
        return ""
    if measure not in _WITH_INTERVAL or math.isnan(of.low):
        return f"{of.value:.3f}"
    return f"{of.value:.3f} ({of.low:.3f} to {of.high:.3f})"


def _differences(evaluation: Evaluation) -> _Lines:
    for key, of in evaluation.measured.items():
        measure, _, first = key.measure.partition("_minus_")
        if first and measure == "auroc" and key.level == "contigs":
            spread = "" if math.isnan(of.low) else f" ({of.low:+.3f} to {of.high:+.3f})"
            yield [f"{key.results} minus {first}", key.level, key.subset, f"{of.value:+.3f}{spread}"]


def _calibrations(evaluation: Evaluation) -> _Lines:
    for name, level in evaluation.reliabilities:
        key = Key(name, level, "all", LEFT_OUT, "expected_calibration_error")
        error = evaluation.measured[key]
        rates = [key._replace(subset=f"fdr:{nominal:g}", measure="realised_fdr") for nominal in NOMINAL]
        cells = [_cell(rate.measure, evaluation.measured[rate]) or "none chosen" for rate in rates]
        yield [name, level, f"{error.n:,}", _cell(key.measure, error), *cells]


def _reliabilities(evaluation: Evaluation) -> _Lines:
    for (name, level), found in evaluation.reliabilities.items():
        yield [name, level, *("" if math.isnan(value) else f"{value:.2f}" for value in found.fraction[0].tolist())]


def notes(evaluation: Evaluation) -> list[str]:
    """Return what a reader of the figures must know, a sentence or two each."""
    truth, counts = evaluation.truth, evaluation.truth.counts()
    found = []
    if missing := [words for label, words in (("virus", "viruses"), ("host", "hosts")) if not counts[label]]:
        found.append(f"The truth has no {' and no '.join(missing)}: measures that need both are left out.")
    if "group" in truth.missing:
        found.append(
            "The truth has no column group, so the intervals take every contig as independent of all others: they are"
            " too narrow where contigs are relatives."
        )
    for one in evaluation.results:
        if one.not_there:
            missing_here = counted(one.not_there, "contig")
            found.append(f"{one.name}: not in the results, so without a call: {missing_here} of the truth.")
        if one.without_truth:
            unknown = counted(one.without_truth, "contig")
            found.append(f"{one.name}: not in the truth, so left out: {unknown} of the results.")
        if one.without_call:
            found.append(f"{one.name}: without a call: {one.without_call:,} of {counted(len(truth), 'contig')}.")
        if not missing and (one.name, "contigs") not in evaluation.reliabilities:
            found.append(f"{one.name}: the scores are no probabilities, so calibration is not measured.")
    if evaluation.relatives is not None:
        found += notes_on_relatives(evaluation.relatives, truth)
    if evaluation.reliabilities and not missing:
        own = percent(counts["virus"], counts["virus"] + counts["host"])
        found.append(f"Precision is that of a truth that is {own} viral: it is lower where viruses are rarer.")
        for one in evaluation.results:
            if reliability := evaluation.reliabilities.get((one.name, "contigs")):
                found.append(f"{one.name}: {_of_which_samples(one, reliability)}.")
        if any(level == "frames" for _, level in evaluation.reliabilities):
            found.append("Scores of frames are no probabilities: a calibration is one of contigs and windows.")
    return found


def _of_which_samples(results: Results, reliability: Reliability) -> str:
    """Return for which share of viral contigs calibration and false discovery rates were measured."""
    with_call = percent(int(reliability.viral.sum()), int(reliability.number.sum()))
    of_rows = f"those of the contigs with a call, which are {with_call} viral"
    of_share = of_rows if results.share is None else f"those of samples that are {percent(results.share, 1)} viral"
    if results.levels[0].q_value is None:
        return f"calibration and false discovery rates are {of_share}"
    return f"false discovery rates, by q_value, are {of_rows}; figures of calibration are {of_share}"


def notes_on_relatives(relatives: Relatives, truth: Truth) -> Iterator[str]:
    """Yield what a reader must know of the training genomes in the truth."""
    names = related_contigs(relatives, truth)
    if names:
        yield (
            f"Training genomes: of {counted(len(names), 'contig')}, at least {100 * RELATED:g} % of the 21-mers are in"
            f" them, which flatters the figures; the subset `unrelated` is without {listed(list(names))}."
        )
    else:
        yield f"Training genomes: no contig shares {100 * RELATED:g} % or more of its 21-mers with them."
    if relatives.unknown:
        yield f"Training genomes: no sequence to compare with them: {counted(relatives.unknown, 'contig')}."


def related_contigs(relatives: Relatives, truth: Truth) -> dict[str, float]:
    """Return the contigs that share much with the training genomes, with the fraction of their k-mers."""
    places = np.flatnonzero(relatives.related).tolist()
    return {str(truth.contigs[place]): round(float(relatives.shared[place]), 4) for place in places}
