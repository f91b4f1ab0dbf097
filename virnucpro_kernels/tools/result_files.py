"""Reading result tables, ours, the original's and Broad's, into one shape: an ID, a label and scores a row."""

import csv
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.pool.file_names import CONTIG_TABLE, FRAME_TABLE, ORIGINAL_FRAMES, ORIGINAL_WINDOWS, WINDOW_TABLE
from virnucpro_kernels.score.tables import NOT_AVAILABLE

#: What the rows of a table are, and the files that hold it, the more telling one first.
LEVELS = {
    "frames": (FRAME_TABLE, ORIGINAL_FRAMES),
    "windows": (WINDOW_TABLE, ORIGINAL_WINDOWS),
    "contigs": (CONTIG_TABLE,),
}

_LABELS = {"others": "host", "virus": "viral", "False": "host", "True": "viral"}


@dataclass(frozen=True, eq=False)
class Results:
    """One table.

    Attributes:
        path: where it was read from.
        level: key of `LEVELS`.
        table: by unique ID, a string column `label` (`viral`, `host`, or why there is none) and float64 columns of
            scores; what has no row in the original's files has none here.
    """

    path: Path
    level: str
    table: pd.DataFrame


def _our_frames(raw: pd.DataFrame) -> pd.DataFrame:
    names = raw["contig"] + "_chunk_" + raw["window"] + raw["frame"]
    return pd.DataFrame({"id": names, "label": raw["prediction"], "p_virus": raw["p_virus"]})


def _original_frames(raw: pd.DataFrame) -> pd.DataFrame:
    table = pd.DataFrame({"id": raw["Sequence_ID"], "label": raw["Prediction"]})
    for ours, theirs in (("p_virus", "score2"), ("p_other", "score1")):
        if theirs in raw:
            table[ours] = raw[theirs]
    return table


def _our_windows(raw: pd.DataFrame) -> pd.DataFrame:
    names = raw["contig"] + "_chunk_" + raw["window"]
    table = pd.DataFrame({"id": names, "label": raw["is_virus"], "p_virus": raw["p_virus"], "margin": raw["margin"]})
    return table[table["label"] != NOT_AVAILABLE]


def _original_windows(raw: pd.DataFrame) -> pd.DataFrame:
    table = pd.DataFrame({"id": raw["Modified_ID"], "label": raw["Is_Virus"]})
    if {"max_score_0", "max_score_1"} <= set(raw):
        table["max_score_0"] = raw["max_score_0"].astype(float)
        table["max_score_1"] = raw["max_score_1"].astype(float)
        table["margin"] = table["max_score_1"] - table["max_score_0"]
    return table


def _contigs(raw: pd.DataFrame) -> pd.DataFrame:
    label = raw["call"].where(raw["status"] == "scored", raw["status"])
    return pd.DataFrame({"id": raw["contig"], "label": label, "p_virus": raw["p_virus"]})


# Columns that tell a table: its level, and how to read it.
_FORMATS: dict[tuple[str, ...], tuple[str, Callable[[pd.DataFrame], pd.DataFrame]]] = {
    ("contig", "window", "frame", "p_virus", "prediction"): ("frames", _our_frames),
    ("Sequence_ID", "Prediction"): ("frames", _original_frames),
    ("contig", "window", "p_virus", "margin", "is_virus"): ("windows", _our_windows),
    ("Modified_ID", "Is_Virus"): ("windows", _original_windows),
    ("contig", "status", "call", "p_virus"): ("contigs", _contigs),
}


def read_results(path: Path) -> Results:
    """Read a result table, told by its columns, compressed or not.

    Raises:
        DamagedFileError: it cannot be read, is no such table, holds an ID twice or a score that is no number.
    """
    try:
        header = pd.read_csv(path, sep="\t", nrows=0, quoting=csv.QUOTE_NONE)
        columns = [str(name) for name in header]
        known = next((columns_of for columns_of in _FORMATS if set(columns_of) <= set(columns)), None)
        if known is None:
            raise DamagedFileError(f"{path}: no result table (columns: {', '.join(columns[:6])})")
        level, read = _FORMATS[known]
        # The original writes IDs as they are into this one file, quotes and all.
        quoting: Literal[0, 3] = csv.QUOTE_NONE if "Sequence_ID" in known else csv.QUOTE_MINIMAL
        table = read(pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, quoting=quoting))
        scores = table.columns.difference(["id", "label"])
        table[scores] = table[scores].replace(NOT_AVAILABLE, "nan").astype(float)
    except (OSError, EOFError, UnicodeDecodeError, ValueError, zlib.error) as error:
        raise DamagedFileError(f"{path}: not readable as a result table ({error})") from error
    table["label"] = table["label"].replace(_LABELS)
    twice = table["id"].duplicated()
    if twice.any():
        raise DamagedFileError(f"{path}: {table['id'][twice].iloc[0]!r} occurs twice ({int(twice.sum())} such rows)")
    return Results(path, level, table.set_index("id"))


def find_tables(directory: Path) -> dict[str, list[Path]]:
    """Return the result tables that lie in a directory, by level."""
    found = {
        level: [directory / name for name in names if (directory / name).is_file()] for level, names in LEVELS.items()
    }
    return {level: paths for level, paths in found.items() if paths}


def find_samples(directory: Path) -> dict[str, Path]:
    """Return the result directories of a run by sample; `directory` itself, named "", where it is one."""
    if find_tables(directory):
        return {"": directory}
    folders = [*directory.glob("*/"), *directory.glob("results/*/")]
    return {folder.name: folder for folder in sorted(folders) if find_tables(folder)}
