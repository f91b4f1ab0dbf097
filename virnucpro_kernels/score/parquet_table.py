"""A result table in Parquet: the same rows and columns as in the text, as numbers, logical values and text."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from virnucpro_kernels.pool.columns import BOOLEANS, column_types

#: Rows of a row group, whatever comes at a time, so that the same rows give the same bytes.
_ROW_GROUP = 1 << 16
_TYPES = {"string": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}


class ParquetTable(ExitStack):
    """Context manager that writes a table.

    Args:
        path: File to write.
        table: Name of the table, whose columns the dictionary has.
    """

    def __init__(self, path: Path, table: str) -> None:
        super().__init__()
        self._types = {name: _TYPES[kind] for name, kind in column_types(table).items()}
        self._schema = pa.schema(list(self._types.items()))
        self._writer = self.enter_context(pq.ParquetWriter(path, self._schema, compression="zstd"))
        self._held = self._schema.empty_table()
        self.callback(self._flush, 1)

    def add(self, texts: Mapping[str, pa.Array | str], rows: int) -> None:
        """Append rows: the text of each column, null where a value is missing, or one text for all rows."""
        columns = [
            _typed(pa.repeat(text, rows) if isinstance(text, str) else text, self._types[name])
            for name, text in texts.items()
        ]
        self._held = pa.concat_tables([self._held, pa.table(columns, schema=self._schema)])
        self._flush(_ROW_GROUP)

    def _flush(self, least: int) -> None:
        """Write full row groups, and at the end what is left."""
        while self._held.num_rows >= least:
            self._writer.write_table(self._held.slice(0, _ROW_GROUP).combine_chunks(), row_group_size=_ROW_GROUP)
            self._held = self._held.slice(_ROW_GROUP)


def _typed(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    return pc.equal(texts, BOOLEANS[1]) if pa.types.is_boolean(kind) else pc.cast(texts, kind)
