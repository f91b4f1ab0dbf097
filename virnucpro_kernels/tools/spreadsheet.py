"""Results of a finished run as a workbook for spreadsheets, in which names stay text and numbers are numbers."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from xlsxwriter import Workbook
from xlsxwriter.worksheet import Worksheet

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import atomic_path
from virnucpro_kernels.pool.columns import BOOLEANS, NOT_AVAILABLE, column_types
from virnucpro_kernels.pool.file_names import CONTIG_TABLE, REGION_TABLE
from virnucpro_kernels.pool.job_record import checked_result
from virnucpro_kernels.tools.result_rows import read_rows

#: Rows of a sheet, the header among them, and characters of a cell: what Excel can hold.
MOST_ROWS = 1 << 20
_MOST_CHARACTERS = 32_767
_SHEETS = {"contigs": CONTIG_TABLE, "regions": REGION_TABLE}
_COLUMN_WIDTH = 14

#: Method of a worksheet that writes a cell, by the type of its column.
_WRITERS: dict[str, Callable[[Worksheet, int, int, str], Any]] = {
    "string": lambda sheet, row, column, text: sheet.write_string(row, column, text[:_MOST_CHARACTERS]),
    "integer": lambda sheet, row, column, text: sheet.write_number(row, column, int(text)),
    "number": lambda sheet, row, column, text: sheet.write_number(row, column, float(text)),
    "boolean": lambda sheet, row, column, text: sheet.write_boolean(row, column, text == BOOLEANS[1]),
}


def write_workbook(folders: Sequence[Path], path: Path) -> None:
    """Write the contigs and the regions of all samples, a sheet each; a missing value is an empty cell.

    Args:
        folders: Folders of the samples' results.
        path: Workbook to write.

    Raises:
        UsageError: there are more rows than a sheet holds.
        DamagedFileError: a table is damaged.
    """
    with atomic_path(path) as temporary, Workbook(str(temporary), {"constant_memory": True}) as workbook:
        for name, table in _SHEETS.items():
            sheet, types = workbook.add_worksheet(name), column_types(table)
            sheet.freeze_panes(1, 2)
            sheet.set_column(0, len(types) - 1, _COLUMN_WIDTH)
            sheet.write_row(0, 0, types, workbook.add_format({"bold": True}))
            rows = _fill(sheet, types, [folder / table for folder in folders])
            sheet.autofilter(0, 0, rows, len(types) - 1)


def _fill(sheet: Worksheet, types: Mapping[str, str], tables: Sequence[Path]) -> int:
    """Write the rows of the tables below the header; return how many."""
    row = 0
    for path in tables:
        for batch in read_rows(checked_result(path), list(types)):
            if row + batch.num_rows >= MOST_ROWS:
                raise UsageError(
                    f"{path}: a sheet holds {MOST_ROWS - 1:,} rows, and there are more; `virnucpro select` makes a"
                    " smaller table, and contigs.parquet holds all of them"
                )
            columns = [batch[name].to_pylist() for name in types]
            for values in zip(*columns, strict=True):
                row += 1
                for column, (kind, text) in enumerate(zip(types.values(), values, strict=True)):
                    if text != NOT_AVAILABLE or column < 2:  # a sample or a contig may have this name
                        _WRITERS[kind](sheet, row, column, text)
    return row
