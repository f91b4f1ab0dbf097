"""The dictionary of the result tables: type and description of every column, for readers and for `columns.json`."""

import json
from pathlib import Path
from typing import Any

from virnucpro_kernels.files import atomic_path, read_data

#: Text of a missing value, and of logical values, in all tables.
NOT_AVAILABLE = "NA"
BOOLEANS = ("FALSE", "TRUE")


def column_types(table: str) -> dict[str, str]:
    """Return the type of each column of a table, in order: `string`, `integer`, `number` or `boolean`."""
    return {name: kind for name, (kind, _) in read_data("columns.toml")[table].items()}


def write_columns(path: Path) -> None:
    """Write the dictionary as JSON: for each table a Table Schema (https://specs.frictionlessdata.io/table-schema/)."""
    tables = {table: _schema(columns) for table, columns in read_data("columns.toml").items()}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(tables, indent=1) + "\n", encoding="utf-8")


def _schema(columns: dict[str, tuple[str, str]]) -> dict[str, Any]:
    values = {"boolean": {"trueValues": [BOOLEANS[1]], "falseValues": [BOOLEANS[0]]}}
    fields = [
        {"name": name, "type": kind, "description": description, **values.get(kind, {})}
        for name, (kind, description) in columns.items()
    ]
    return {"fields": fields, "missingValues": [NOT_AVAILABLE]}
