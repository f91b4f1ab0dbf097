"""The run at a glance: its totals, a row for each sample, why contigs have no call, models and warnings."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from virnucpro_kernels.report.shown import Shown
from virnucpro_kernels.report.tables import GROUPS, SCORED_GROUPS
from virnucpro_kernels.report.words import percent

#: Meaning of the groups of contigs that have no call.
_REASONS = {
    "too_little_evidence": "scored, but with less evidence than the settings ask of a call",
    "no_open_frame": "no window has a reading frame without a stop codon",
    "too_short": "shorter than the configured least length",
    "no_codon": "no complete codon of A, C, G and T",
    "empty": "no base",
}
_TIERS = 3


def describe_total(shown: Shown) -> dict[str, Any]:
    """Return numbers of contigs, bases and viral regions of all samples, and shares of calls in words."""
    contigs = np.sum([summary.contigs for summary in shown.summaries], axis=0)
    bases = np.sum([summary.bases for summary in shown.summaries], axis=0)
    number, viral = int(contigs.sum()), int(contigs[:_TIERS].sum())
    called = viral + int(contigs[GROUPS.index("host")])
    return {
        "contigs": number,
        "bases": int(bases.sum()),
        "viral": viral,
        "viral_share": percent(viral, number),
        "viral_bases": int(bases[:_TIERS].sum()),
        "regions": sum(found.regions for found in shown.regions),
        "region_bases": sum(found.bases for found in shown.regions),
        "divided": sum(len(found.host_contigs) for found in shown.regions),
        "none_share": percent(number - called, number),
    }


def describe_samples(shown: Shown) -> list[dict[str, Any]]:
    """Return a row for each sample: its name and its numbers by the heading of their columns, the last one a share."""
    rows = []
    for sample, summary, found in zip(shown.samples, shown.summaries, shown.regions, strict=True):
        viral, contigs = int(summary.contigs[:_TIERS].sum()), int(summary.contigs.sum())
        numbers = {
            "contigs": contigs,
            "bases": int(summary.bases.sum()),
            "viral": viral,
            **dict(zip(SCORED_GROUPS, summary.contigs.tolist(), strict=False)),
            "no score": int(summary.contigs[len(SCORED_GROUPS) :].sum()),
            "viral bases": int(summary.bases[:_TIERS].sum()),
            "viral regions": found.regions,
        }
        share = {"share": viral / contigs if contigs else 0.0, "percent": percent(viral, contigs)}
        rows.append({"name": sample.name, "numbers": numbers, **share})
    return rows


def describe_reasons(shown: Shown) -> list[dict[str, Any]]:
    """Return why contigs have no call: status, number, share, and meaning of the status."""
    added = np.sum([summary.contigs for summary in shown.summaries], axis=0)
    contigs, total = dict(zip(GROUPS, added.tolist(), strict=True)), int(added.sum())
    return [
        {"name": group, "number": contigs[group], "share": percent(contigs[group], total), "meaning": meaning}
        for group, meaning in _REASONS.items()
        if contigs[group]
    ]


def describe_models(shown: Shown) -> list[Mapping[str, Any]]:
    """Return what the records say of each model."""
    return list({sample.record["model"]["id"]: sample.record["model"] for sample in shown.samples}.values())


def describe_warnings(shown: Shown) -> list[str]:
    """Return the warnings about the input; those of a pool come once."""
    stages = (sample.record["stages"]["split"] for sample in shown.samples)
    return list(dict.fromkeys(warning for stage in stages for warning in stage["reported"].get("warnings", ())))
