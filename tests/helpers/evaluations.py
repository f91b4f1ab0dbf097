"""`virnucpro evaluate` for tests: how it ended, small tables, sequences."""

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd


@dataclass
class Ended:
    """How the command ended: exit code, all that it printed, and the folder that it wrote."""

    code: int
    text: str
    folder: Path

    @property
    def table(self) -> pd.DataFrame:
        return pd.read_csv(self.folder / "evaluation.tsv", sep="\t", keep_default_na=False, na_values=["NA"])

    def row(self, measure: str, subset: str = "all", **wanted: str) -> Any:
        """The one row of a measure; of contigs with those without a call as host, unless `wanted` says otherwise."""
        table, wanted = self.table, {"level": "contigs", "without_call": "host"} | wanted
        rows = table[(table["measure"] == measure) & (table["subset"] == subset)]
        for column, value in wanted.items():
            rows = rows[rows[column] == value]
        assert len(rows) == 1, (measure, subset, wanted, rows)
        return rows.iloc[0]


Run = Callable[..., Ended]


SMALL = {"v1": 0.9, "v2": 0.8, "v3": 0.3, "h1": 0.85, "h2": 0.5, "h3": 0.2, "h4": 0.1}


def write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    return path
