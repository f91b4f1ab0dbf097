"""Schemas of the tables that `split` leaves: contigs.parquet and windows.parquet."""

import pyarrow as pa

WORDS = pa.dictionary(pa.int32(), pa.string())

CONTIG_SCHEMA = pa.schema(
    [
        ("sample", WORDS),
        ("contig", pa.string()),
        ("description", pa.string()),
        ("length", pa.int64()),
        ("status", WORDS),
        ("windows", pa.int32()),
        ("note", WORDS),
    ]
)

WINDOW_SCHEMA = pa.schema(
    [
        ("contig", pa.int64()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("mask", pa.uint8()),
        ("first_row", pa.int64()),
    ]
)
