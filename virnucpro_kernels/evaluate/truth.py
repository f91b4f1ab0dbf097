"""The truth about contigs: a table that says which are viral, and what their relatives are."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.sequences.arrays import Bools, Float64s, Int64s

#: What a contig may be. A control is no virus, and counts in false positive rates of its category only.
LABELS = ("virus", "host", "control")
#: Columns that say more, each of which a table may lack.
OPTIONAL = ("category", "group", "family", "domain", "length")
_LISTED = 5

Texts = npt.NDArray[np.object_]


@dataclass(frozen=True, eq=False)
class Truth:
    """n contigs of which it is known what they are.

    Attributes:
        path: Table that they were read from.
        contigs: Names, all different.
        label: Index into `LABELS`, int64 (n,).
        texts: Category, group, family and domain, each str (n,); "" where it is not known.
        length: Number of bases, float64 (n,); NaN where it is not known.
        missing: Names of those columns of `OPTIONAL` that the table has not.
    """

    path: Path
    contigs: pd.Index
    label: Int64s
    texts: dict[str, Texts]
    length: Float64s
    missing: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.contigs)

    @property
    def is_virus(self) -> Bools:
        """Whether each contig is viral, bool (n,)."""
        return _equal(self.label, "virus")

    @property
    def is_host(self) -> Bools:
        """Whether each contig is of a host, bool (n,)."""
        return _equal(self.label, "host")

    def counts(self) -> dict[str, int]:
        """Return the number of contigs of each label."""
        return dict(zip(LABELS, np.bincount(self.label, minlength=len(LABELS)).tolist(), strict=True))


def read_truth(path: Path) -> Truth:
    """Read a tab-separated table with the columns `contig` and `label`, and any of `OPTIONAL`.

    Raises:
        UsageError: the file cannot be read, lacks one of the two columns, has an unknown label, names a contig twice or
            has a length that is no number.
    """
    table = read_text_table(path, ("contig", "label"))
    if table.empty:
        raise UsageError(f"{path}: the table has no contigs")
    unknown = table["label"][~table["label"].isin(LABELS)]
    if len(unknown):
        raise UsageError(
            f"{path}: the label of {table['contig'][unknown.index[0]]!r} is {unknown.iloc[0]!r} ({len(unknown):,} such"
            f" rows); a label is {', '.join(LABELS[:-1])} or {LABELS[-1]}"
        )
    repeated = table["contig"][table["contig"].duplicated()]
    if len(repeated):
        raise UsageError(f"{path}: contig {repeated.iloc[0]!r} has several rows ({len(repeated):,} such rows)")
    n, missing = len(table), tuple(name for name in OPTIONAL if name not in table)
    return Truth(
        path,
        pd.Index(table["contig"]),
        np.array([LABELS.index(label) for label in table["label"]], np.int64),
        {name: table[name].to_numpy(object) if name in table else np.full(n, "", object) for name in OPTIONAL[:-1]},
        _lengths(path, table) if "length" in table else np.full(n, np.nan),
        missing,
    )


def read_text_table(path: Path, required: Sequence[str]) -> pd.DataFrame:
    """Return a tab-separated table, compressed or not, with every column as text.

    Raises:
        UsageError: the file cannot be read, or lacks one of the required columns.
    """
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, quoting=csv.QUOTE_MINIMAL)
    except FileNotFoundError:
        raise
    except (OSError, EOFError, ValueError) as error:
        raise UsageError(f"{path}: the file cannot be read as a tab-separated table ({error})") from error
    if not isinstance(table.index, pd.RangeIndex):
        raise UsageError(f"{path}: the first row has more fields than there are columns")
    if absent := [name for name in required if name not in table]:
        have = ", ".join(map(str, table.columns[: 2 * _LISTED]))
        raise UsageError(f"{path}: there is no column {' and no column '.join(absent)}; the columns are {have}")
    return table


def listed(names: Sequence[str]) -> str:
    """Return the first names of a list, and how many more there are."""
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _equal(labels: Int64s, label: str) -> Bools:
    found: Bools = labels == LABELS.index(label)
    return found


def _lengths(path: Path, table: pd.DataFrame) -> Float64s:
    texts = table["length"].replace(["", "NA"], "nan")
    numbers = pd.to_numeric(texts, errors="coerce")
    wrong = numbers.isna() & (texts != "nan")
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        raise UsageError(f"{path}: the length of {table['contig'].iloc[place]!r} is {texts.iloc[place]!r}, no number")
    return numbers.to_numpy(np.float64)
