"""How the results of a run were made: facts that all samples share, and a row for each sample of those that differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from virnucpro_kernels.report.samples import SampleResults
from virnucpro_kernels.report.words import joined, seconds

_NONE = "none"
_PACKAGES = ("torch", "triton", "numpy", "pyarrow", "snakemake")


@dataclass(frozen=True)
class Provenance:
    """Facts about a run.

    Attributes:
        common: Facts that all samples share.
        columns: Names of the facts that differ.
        rows: Values of these for each sample, after its name.
    """

    common: Mapping[str, str]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def describe_provenance(samples: Sequence[SampleResults]) -> Provenance:
    """Return the facts about a run from the records of its samples."""
    facts = [_facts(sample.record) for sample in samples]
    common = {name: value for name, value in facts[0].items() if all(fact[name] == value for fact in facts)}
    columns = tuple(name for name in facts[0] if name not in common)
    rows = tuple((sample.name, *(fact[name] for name in columns)) for sample, fact in zip(samples, facts, strict=True))
    return Provenance(common, columns, rows if columns else ())


def _facts(record: Mapping[str, Any]) -> dict[str, str]:
    model, software, parameters = record["model"], record["software"], record["parameters"]
    scores, stages = parameters["scores"], record["stages"]
    embed = stages["embed"]
    return {
        "finished": record["finished"],
        "input": joined([file["path"] for file in record["inputs"]]) if record["inputs"] else "not given",
        "SHA-256 of the input": joined([file["sha256"] for file in record["inputs"]]) if record["inputs"] else _NONE,
        "virnucpro": software["version"],
        "commit": software["commit"] or "not known",
        "Python": software["python"],
        **{
            name: software["packages"].get(name, _NONE) for name in ("torch", "triton", "numpy", "pyarrow", "snakemake")
        },
        "model": model["id"],
        "source of the model": model["source"],
        "SHA-256 of the classifier": model["classifier"]["sha256"],
        "windows": parameters["geometry"] or _NONE,
        "thresholds": ", ".join(
            f"{name} {_value(value)}" for name, value in parameters["thresholds"].items() if value is not None
        ),
        "precision": scores.get("protein_precision", _NONE),
        "attention": scores.get("protein_attention", _NONE),
        "devices": ", ".join(f"{number} x {name}" for name, number in embed["devices"].items()) or _NONE,
        "hosts": ", ".join(embed["hosts"]) or _NONE,
        "time of the jobs": ", ".join(f"{stage} {seconds(jobs['seconds'])}" for stage, jobs in stages.items()),
    }


def _value(value: Any) -> str:
    return " to ".join(map(str, value)) if isinstance(value, list) else str(value)
