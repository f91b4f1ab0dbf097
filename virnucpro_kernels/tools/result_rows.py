"""The rows of our result tables as Arrow batches of text, so that a table of any size streams through."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from virnucpro_kernels.errors import REMEDY, DamagedFileError, UsageError
from virnucpro_kernels.pool.columns import NOT_AVAILABLE
from virnucpro_kernels.pool.file_names import RESULTS, RUN_RECORD, in_results, of_samples
from virnucpro_kernels.sequences.arrays import Float64s

_BLOCK_BYTES = 1 << 22


def result_folders(directory: Path, samples: Sequence[str] = ()) -> dict[str, Path]:
    """Return the folders of finished samples of a run, or `directory` itself where it is one.

    Args:
        directory: Folder of a run, of its results, or of the results of a sample.
        samples: Names of the wanted samples, in a sweep or with a label of every setting; all without any.

    Returns:
        Folders by the names of the results, which begin with setting or label where there is one, as in `strict.gut`.

    Raises:
        UsageError: there are none, or one of `samples` is missing.
    """
    found = {}
    if (directory / RUN_RECORD).exists():
        found[directory.resolve().name] = directory
    for record in in_results(directory, RUN_RECORD) or of_samples(directory, RUN_RECORD):
        parts = record.parent.relative_to(directory).parts
        found[".".join(parts[parts[0] == RESULTS.name :])] = record.parent
    if not found:
        raise UsageError(f"{directory}: no results; name the folder of a run or of the results of one of its samples")
    wanted = {name: folder for name, folder in found.items() if not samples or folder.resolve().name in samples}
    missing = sorted(set(samples) - {folder.resolve().name for folder in wanted.values()})
    if missing:
        raise UsageError(f"{directory}: no results of sample {', '.join(missing)}; there are {', '.join(found)}")
    return wanted


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a table, every column as text.

    Args:
        path: Table as `score.tables` writes it, not compressed.
        columns: Columns that it must have, in its order.

    Raises:
        DamagedFileError: the table is missing or damaged, or has other columns.
    """
    try:
        with pa_csv.open_csv(
            path,
            read_options=pa_csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),
            parse_options=pa_csv.ParseOptions(delimiter="\t"),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False
            ),
        ) as reader:
            if reader.schema.names != list(columns):
                raise DamagedFileError(f"{path}: the columns are not {', '.join(columns)}; {REMEDY}")
            yield from reader
    except FileNotFoundError:
        raise DamagedFileError(f"{path}: the file is missing; {REMEDY}") from None
    except (pa.ArrowException, OSError) as error:
        raise DamagedFileError(f"{path}: the table is damaged ({error}); {REMEDY}") from error


def numbers(texts: pa.Array) -> Float64s:
    """Return a column of numbers as float64 (n,); NaN for `NA`."""
    values = pc.cast(pc.if_else(pc.equal(texts, NOT_AVAILABLE), "nan", texts), pa.float64())
    found: Float64s = np.asarray(values, np.float64)
    return found
