"""The comparison of a sweep's settings: a row for each setting and sample."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from virnucpro_kernels.pool.columns import NOT_AVAILABLE
from virnucpro_kernels.pool.file_names import CONTIG_TABLE, RUN_RECORD
from virnucpro_kernels.pool.job_record import read_record
from virnucpro_kernels.pool.tsv import write_rows
from virnucpro_kernels.tools.result_files import read_results

CALLS = ("viral", "host", "none")
#: Stages whose time the comparison has.
TIMED = ("embed", "classify", "collect")


@dataclass(frozen=True)
class Row:
    """A sample under one setting, beside the same sample under the first setting; numbers as they stand in the table.

    Attributes:
        setting, sample: Names of both.
        model: Name of the model.
        geometry: Window length and layout; `NA` for a sample without frames.
        precision: Precision of the encoders; `NA` for a sample without frames.
        contigs: Number of contigs.
        viral, host, none: Number of contigs by call.
        agreement: Fraction of the contigs that have the same call as under the first setting, `none` included.
        mean_difference, max_difference: Mean and largest difference of p_virus from the first setting, over the contigs
            that have a score under both.
        embed_seconds, classify_seconds, collect_seconds: Time of the jobs of these stages. Those of a pool count by the
            sample's share of its frames; settings that share jobs have the same time.
    """

    setting: str
    sample: str
    model: str
    geometry: str
    precision: str
    contigs: int
    viral: int
    host: int
    none: int
    agreement: str
    mean_difference: str
    max_difference: str
    embed_seconds: str
    classify_seconds: str
    collect_seconds: str


def compare_settings(results: Path, samples: Sequence[str], settings: Sequence[str], table: Path) -> list[Row]:
    """Write the comparison of a sweep's settings; return its rows, those of each setting together.

    Args:
        results: Folder of the settings' folders.
        samples: Names of the samples.
        settings: Names of the settings; the first is what all are compared with.
        table: Table to write.

    Raises:
        DamagedFileError: a contig table or a record is damaged, or a table is missing.
        FileNotFoundError: a record is missing.
    """
    rows = [row for sample in samples for row in _compare_sample(results, sample, settings)]
    rows.sort(key=lambda row: settings.index(row.setting))
    write_rows(table, Row, rows)
    return rows


def _compare_sample(results: Path, sample: str, settings: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of a sample; two of its tables are in memory at a time."""
    first = _read_contigs(results / settings[0] / sample)
    for setting in settings:
        folder = results / setting / sample
        contigs = first if setting == settings[0] else _read_contigs(folder)
        record = read_record(folder / RUN_RECORD)
        both = first.add_suffix("_first").join(contigs, how="inner")
        apart = (both["p_virus"] - both["p_virus_first"]).abs().dropna()
        counts = contigs["call"].value_counts()
        yield Row(
            setting=setting,
            sample=sample,
            model=record["model"]["name"],
            geometry=record["parameters"]["geometry"] or NOT_AVAILABLE,
            precision=record["parameters"]["scores"].get("protein_precision", NOT_AVAILABLE),
            contigs=len(contigs),
            **{call: int(counts.get(call, 0)) for call in CALLS},
            agreement=_number((both["call"] == both["call_first"]).mean()),
            mean_difference=_number(apart.mean()),
            max_difference=_number(apart.max()),
            embed_seconds=_seconds(record, "embed"),
            classify_seconds=_seconds(record, "classify"),
            collect_seconds=_seconds(record, "collect"),
        )


def _read_contigs(folder: Path) -> pd.DataFrame:
    """Return `call` and `p_virus` of each contig, by its ID."""
    table = read_results(folder / CONTIG_TABLE).table
    called = table["label"].isin(CALLS)
    return pd.DataFrame({"call": table["label"].where(called, "none"), "p_virus": table["p_virus"]})


def _seconds(record: dict[str, Any], stage: str) -> str:
    """Return the time of a stage that is the sample's: all of `collect`, and its share of the jobs of its pool."""
    share = 1.0 if stage == "collect" else record["pool"]["fraction"] or 0.0
    return f"{record['stages'][stage]['seconds'] * share:.3f}"


def _number(value: float) -> str:
    return NOT_AVAILABLE if math.isnan(value) else f"{value:.6f}"
