"""Reading result tables, ours, the original's and Broad's, into one shape: an ID, a label and scores a row."""

import csv
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter
from typing import Literal

import pandas as pd

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.pool.columns import NOT_AVAILABLE
from virnucpro_kernels.pool.file_names import CONTIG_TABLE, FRAME_TABLE, ORIGINAL_FRAMES, ORIGINAL_WINDOWS, WINDOW_TABLE

#: What the rows of a table stand for, and the files that hold them, ours first: it says more than the original's.
LEVELS = {
    "frames": (FRAME_TABLE, ORIGINAL_FRAMES),
    "windows": (WINDOW_TABLE, ORIGINAL_WINDOWS),
    "contigs": (CONTIG_TABLE,),
}

_LABELS = (
    {"others": "host", "virus": "viral"}
    | dict.fromkeys(("FALSE", "False"), "host")
    | dict.fromkeys(("TRUE", "True"), "viral")
)


@dataclass(frozen=True, eq=False)
class Results:
    """One table.

    Attributes:
        path: File that it was read from.
        level: Key of `LEVELS`.
        table: Rows by unique ID: a string column `label` (`viral`, `host`, or why there is none) and float64 columns
            of scores; what has no row in the original's files has none here.
    """

    path: Path
    level: str
    table: pd.DataFrame


@dataclass(frozen=True)
class _Format:
    """Rules by which a table is read; `score.tables` and `score.original_tables` define its columns.

    Attributes:
        level: Key of `LEVELS`.
        id: Pattern of a row's ID, with the names of columns in braces.
        label: Column of the label.
        scores: Columns of scores, each by the name that it gets.
        optional: Columns of further scores, which only some versions of the table have.
        status: Column that says why there is no label, where it is not `scored`.
        quoting: Quoting convention of the fields: the original writes IDs into one of its files with bare quotes.
    """

    level: str
    id: str
    label: str
    scores: Mapping[str, str] = field(default_factory=dict)
    optional: Mapping[str, str] = field(default_factory=dict)
    status: str = ""
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL

    @property
    def columns(self) -> set[str]:
        """Columns that tell a table of this format from others."""
        of_id = {name for _, name, _, _ in Formatter().parse(self.id) if name}
        return {*of_id, self.label, *self.scores.values(), *filter(None, [self.status])}

    def read(self, path: Path) -> pd.DataFrame:
        """Return the rows that have a label: `id`, `label` and scores."""
        raw = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, quoting=self.quoting)
        ids = pd.Series("", raw.index, dtype=str)
        for text, name, _, _ in Formatter().parse(self.id):
            ids = ids + text + (raw[name] if name else "")
        label = (
            raw[self.label].where(raw[self.status] == "scored", raw[self.status]) if self.status else raw[self.label]
        )
        table = pd.DataFrame({"id": ids, "label": label})
        for name, column in {**self.scores, **self.optional}.items():
            if column in raw:
                table[name] = raw[column].replace(NOT_AVAILABLE, "nan").astype(float)
        if {"max_score_0", "max_score_1"} <= set(table):
            table["margin"] = table["max_score_1"] - table["max_score_0"]
        return table[table["label"] != NOT_AVAILABLE]


_FORMATS = (
    _Format("frames", "{contig}_chunk_{window}{frame}", "prediction", {"p_virus": "p_virus"}),
    _Format(
        *("frames", "{Sequence_ID}", "Prediction"),
        optional={"p_virus": "score2", "p_other": "score1"},
        quoting=csv.QUOTE_NONE,
    ),
    _Format("windows", "{contig}_chunk_{window}", "is_virus", {"p_virus": "p_virus", "margin": "margin"}),
    _Format(
        *("windows", "{Modified_ID}", "Is_Virus"),
        optional={"max_score_0": "max_score_0", "max_score_1": "max_score_1"},
    ),
    _Format("contigs", "{contig}", "call", {"p_virus": "p_virus"}, status="status"),
)


def read_results(path: Path) -> Results:
    """Read a result table, compressed or not; its columns say which table it is.

    Raises:
        DamagedFileError: the file cannot be read, is no such table, holds an ID twice or a score that is no number.
    """
    try:
        header = pd.read_csv(path, sep="\t", nrows=0, quoting=csv.QUOTE_NONE)
        columns = [str(name) for name in header]
        form = next((form for form in _FORMATS if form.columns <= set(columns)), None)
        if form is None:
            raise DamagedFileError(f"{path}: this is no result table (columns: {', '.join(columns[:6])})")
        table = form.read(path)
    except (OSError, EOFError, KeyError, UnicodeDecodeError, ValueError, zlib.error) as error:
        raise DamagedFileError(f"{path}: the file cannot be read as a result table ({error})") from error
    table["label"] = table["label"].replace(_LABELS)
    twice = table["id"].duplicated()
    if twice.any():
        raise DamagedFileError(f"{path}: {table['id'][twice].iloc[0]!r} occurs twice ({int(twice.sum())} such rows)")
    return Results(path, form.level, table.set_index("id"))


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
