"""Results beside the truth: our tables of contigs, windows and frames, or another tool's table of contigs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.evaluate.truth import Truth, listed, read_text_table
from virnucpro_kernels.pool.file_names import CONTIG_TABLE, FRAME_TABLE, RUN_RECORD, WINDOW_TABLE
from virnucpro_kernels.pool.job_record import checked_result, read_job
from virnucpro_kernels.report.tables import read_table
from virnucpro_kernels.sequences.arrays import Bools, Float64s, Int64s
from virnucpro_kernels.tools.result_rows import result_folders

LEVELS = ("contigs", "windows", "frames")
Q_VALUE = "q_value"
#: Threshold of windows and frames, and of other tools' scores, unless the user names one.
_THRESHOLD = 0.5

_CONTIG_TYPES = {"contig": pa.string(), "call": pa.string(), "p_virus": pa.float64()}
_WINDOW_TYPES = {"contig": pa.string(), "start": pa.int64(), "end": pa.int64(), "p_virus": pa.float64()}
_FRAME_TYPES = {"contig": pa.string(), "p_virus": pa.float64()}


@dataclass(frozen=True, eq=False)
class Level:
    """The contigs, windows or frames of which the truth is known, m of them.

    Attributes:
        name: One of `LEVELS`.
        contig: Contig of the truth of each, int64 (m,).
        score: Score, float64 (m,); NaN without a call.
        called: Whether each is called viral, bool (m,).
        length: Number of bases, float64 (m,); NaN where it is not known.
        q_value: False discovery rate of a call as the results have it, float64 (m,); None where they have none.
    """

    name: str
    contig: Int64s
    score: Float64s
    called: Bools
    length: Float64s
    q_value: Float64s | None = None


@dataclass(frozen=True, eq=False)
class Results:
    """One set of results.

    Attributes:
        name: What it is called.
        path: Folder of the results of a sample, or table of another tool.
        levels: What of it is evaluated; contigs first.
        without_truth: Number of contigs that the truth does not name, which are left out.
        not_there: Number of contigs of the truth that the results do not have, which are without a call.
        without_call: Number of contigs of the truth without a call, these among them.
        share: Share of viral contigs for which the scores are probabilities; None for that of the contigs with a call.
    """

    name: str
    path: Path
    levels: tuple[Level, ...]
    without_truth: int
    not_there: int
    without_call: int
    share: float | None


@dataclass(frozen=True)
class Columns:
    """How results are to be read.

    Attributes:
        contig, score: Names of the columns of another tool's table.
        threshold: Least score of a viral contig; None for the default.
        share: Share of viral contigs for which scores are probabilities. None for that of the model's calibration, and
            for other tools that of the contigs with a call.
    """

    contig: str = "contig"
    score: str = "score"
    threshold: float | None = None
    share: float | None = None


def read_results(given: str, truth: Truth, columns: Columns) -> list[Results]:
    """Read what the user names: a folder of a run or of a sample's results, or a table; with `NAME=` before it or not.

    Raises:
        UsageError: there are no results, or none of their contigs is in the truth.
        DamagedFileError: a table is damaged.
        FileNotFoundError: there is no such table.
    """
    name, named, path = given.partition("=")
    if not named or Path(given).exists():
        name, path = "", given
    where = Path(path)
    if not where.is_dir():
        return [_read_other(name or where.name.partition(".")[0], where, truth, columns)]
    folders = result_folders(where)
    names = [name if len(folders) == 1 else f"{name}.{folder}".lstrip(".") for folder in folders]
    read = zip(names, folders, folders.values(), strict=True)
    return [_read_ours(name or folder, path, truth, columns) for name, folder, path in read]


def _read_ours(name: str, folder: Path, truth: Truth, columns: Columns) -> Results:
    path, threshold = checked_result(folder / CONTIG_TABLE), columns.threshold
    calibration = read_job(folder / RUN_RECORD).get("model", {}).get("calibration") or {}
    share = calibration.get("prior") if columns.share is None else columns.share
    q_type = {Q_VALUE: pa.float64()} if Q_VALUE in _header(path) else {}
    table = pa.concat_tables(read_table(path, _CONTIG_TYPES | q_type)).to_pandas()
    score = table["p_virus"].where(table["call"] != "none").to_numpy(np.float64)
    called = (table["call"] == "viral").to_numpy() if threshold is None else score >= threshold
    q_value = table[Q_VALUE].to_numpy(np.float64) if q_type else None
    if q_value is not None and np.isnan(q_value).all():  # the run was not asked for them
        q_value = None
    contigs = _contigs(path, pd.Index(table["contig"]), score, called, truth, q_value)
    bound = _THRESHOLD if threshold is None else threshold
    windows = _below("windows", folder / WINDOW_TABLE, _WINDOW_TYPES, truth, bound)
    frames = _below("frames", folder / FRAME_TABLE, _FRAME_TYPES, truth, bound)
    return _results(name, folder, contigs, (windows, frames), share)


def _read_other(name: str, path: Path, truth: Truth, columns: Columns) -> Results:
    table = read_text_table(path, (columns.contig, columns.score))
    texts = table[columns.score].str.strip().replace(["", "NA", "NaN", "None"], "nan")
    numbers = pd.to_numeric(texts, errors="coerce")
    wrong = numbers.isna() & (texts != "nan")
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        contig = table[columns.contig].iloc[place]
        raise UsageError(f"{path}: the score of {contig!r} is {texts.iloc[place]!r}, which is no number")
    score = numbers.to_numpy(np.float64)
    called = score >= (_THRESHOLD if columns.threshold is None else columns.threshold)
    return _results(
        name, path, _contigs(path, pd.Index(table[columns.contig]), score, called, truth), (), columns.share
    )


def _header(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as file:
        return file.readline().rstrip("\n").split("\t")


def _contigs(
    path: Path, names: pd.Index, score: Float64s, called: Bools, truth: Truth, q_value: Float64s | None = None
) -> tuple[Level, int, int]:
    """Return the level of all contigs of the truth, and how many names it lacks, and how many the results lack."""
    if names.has_duplicates:
        repeated = names[names.duplicated()]
        raise UsageError(f"{path}: contig {repeated[0]!r} has several rows ({len(repeated):,} such rows)")
    place = names.get_indexer(truth.contigs)
    there = place >= 0
    if not there.any():
        raise UsageError(
            f"{path} and {truth.path} have no contig in common: the one has {listed(names.tolist())}, the other"
            f" {listed(truth.contigs.tolist())}"
        )

    def of_truth(values: Float64s) -> Float64s:
        return np.where(there, values[place], np.nan)

    level = Level(
        "contigs",
        np.arange(len(truth)),
        of_truth(score),
        there & called[place],
        truth.length,
        None if q_value is None else of_truth(q_value),
    )
    return level, len(names) - int(there.sum()), int((~there).sum())


def _below(name: str, path: Path, types: dict[str, pa.DataType], truth: Truth, threshold: float) -> Level:
    """Return the windows or frames of the contigs of the truth; memory is that of their numbers."""
    parts = [(np.empty(0, np.int64), np.empty(0), np.empty(0))]
    for table in read_table(checked_result(path), types):
        contig = truth.contigs.get_indexer(pd.Index(table["contig"].to_pandas()))
        length = np.full(len(contig), np.nan)
        if "end" in types:
            length = (table["end"].to_numpy() - table["start"].to_numpy()).astype(np.float64)
        known = contig >= 0
        parts.append((contig[known], table["p_virus"].to_numpy()[known], length[known]))
    contig, score, length = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Level(name, contig.astype(np.int64), score, score >= threshold, length)


def _results(
    name: str, path: Path, contigs: tuple[Level, int, int], others: Sequence[Level], share: float | None
) -> Results:
    level, without_truth, not_there = contigs
    without_call = int(np.isnan(level.score).sum())
    return Results(name, path, (level, *others), without_truth, not_there, without_call, share)
