"""Small tab-separated tables with a header, a dataclass a row. Light: the workflow reads some when it is parsed."""

import csv
from collections.abc import Iterable
from dataclasses import astuple, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.files import atomic_path

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")


def write_rows(path: Path, row_class: "type[DataclassInstance]", rows: "Iterable[DataclassInstance]") -> None:
    """Write `rows` under the names of the fields of `row_class`; only the header where there are none."""
    write_table(path, [field.name for field in fields(row_class)], map(astuple, rows))


def write_table(path: Path, header: Iterable[str], lines: Iterable[Iterable[Any]]) -> None:
    """Write a header and lines of values."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(header)
        writer.writerows(lines)


def read_rows(path: Path, row_class: type[Row], *, remedy: str) -> list[Row]:
    """Return the rows of a table in its order.

    Args:
        path: Table that `write_rows` wrote.
        row_class: Dataclass whose fields are all `str` or `int`.
        remedy: Advice to the user of a damaged table, for the message.

    Raises:
        DamagedFileError: the columns are not the fields of `row_class`, or a value is not of its type.
        FileNotFoundError: there is no such file.
    """
    names, types = zip(*((field.name, field.type) for field in fields(row_class)), strict=True)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file, delimiter="\t"))
        if lines[:1] != [list(names)]:
            raise ValueError(f"the columns are not {', '.join(names)}")
        return [row_class(*(convert(value) for convert, value in zip(types, line, strict=True))) for line in lines[1:]]
    except (ValueError, csv.Error) as error:
        raise DamagedFileError(f"{path}: the table is damaged ({error}); {remedy}") from error
