"""The samples of a run side by side, for `results/summary.tsv`: a row a sample, from the records beside its tables."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from virnucpro_kernels.errors import REMEDY
from virnucpro_kernels.files import remove_leftovers
from virnucpro_kernels.pool.columns import NOT_AVAILABLE, write_columns
from virnucpro_kernels.pool.file_names import COLUMNS, RUN_RECORD, SUMMARY_TABLE
from virnucpro_kernels.pool.job_record import read_job
from virnucpro_kernels.pool.tsv import read_rows, write_rows
from virnucpro_kernels.run.run import Run


@dataclass(frozen=True)
class Row:
    """A sample as it stands in the table. Numbers are those of `run.json`.

    Attributes:
        sample: Name of the sample.
        setting: Name of the setting in a sweep; `NA` outside of one.
        contigs, bases: Number of contigs, and of their bases.
        scored, no_open_frame, too_short, no_codon, empty: Number of contigs by status.
        viral, host, none: Number of contigs by call.
        none_fraction: Fraction of the contigs without a call; `NA` where there are no contigs.
        high, medium, low: Number of viral contigs by tier.
        viral_bases: Bases of the contigs called viral.
        regions, region_bases: Number of viral regions, and of their bases.
        model: Name of the model, marked where it is for trying out.
        viral_threshold: Least p_virus of a viral contig; `NA` where a false discovery rate decides.
    """

    sample: str
    setting: str
    contigs: int
    bases: int
    scored: int
    no_open_frame: int
    too_short: int
    no_codon: int
    empty: int
    viral: int
    host: int
    none: int
    none_fraction: str
    high: int
    medium: int
    low: int
    viral_bases: int
    regions: int
    region_bases: int
    model: str
    viral_threshold: str

    @classmethod
    def of(cls, record: dict[str, Any], setting: str) -> Self:
        """Return the row of a sample whose `run.json` holds `record`."""
        counts = record["counts"]
        flat = {**counts, **counts["status"], **counts["call"], **counts["tier"]}
        wanted = [field.name for field in fields(cls) if field.type is int]
        none, thresholds = counts["call"]["none"], record["parameters"]["thresholds"]
        return cls(
            sample=record["sample"],
            setting=setting or NOT_AVAILABLE,
            none_fraction=f"{none / counts['contigs']:.6f}" if counts["contigs"] else NOT_AVAILABLE,
            model=record["model"]["label"],
            viral_threshold=f"{thresholds['viral_threshold']:g}" if thresholds.get("fdr") is None else NOT_AVAILABLE,
            **{name: flat.get(name, 0) for name in wanted},
        )


def write_summary(run: Run, directory: Path = Path()) -> None:
    """Write the rows of the samples that have results, once a run has ended; where none has, remove the table.

    The dictionary of all tables lies beside it.
    """
    path = directory / run.results_root / SUMMARY_TABLE
    remove_leftovers(path)
    rows = [
        Row.of(record, one.setting)
        for one in run.settings
        for sample in one.samples
        if "label" in (record := read_job(directory / one.results / sample.name / RUN_RECORD)).get("model", {})
    ]
    if not rows:
        path.unlink(missing_ok=True)
        return
    write_rows(path, Row, rows)
    remove_leftovers(path.with_name(COLUMNS))
    write_columns(path.with_name(COLUMNS))


def read_summary(path: Path) -> list[Row]:
    """Return the rows of a summary.

    Raises:
        DamagedFileError: the file is not such a table.
    """
    return read_rows(path, Row, remedy=REMEDY)
