"""The result tables: `contigs.tsv` (and in Parquet), `windows.tsv`, `frames.tsv.gz`, a batch of contigs at a time.

Fields are separated by tabs below one header line; `NA` stands for what does not exist. A field is quoted as in CSV
only where it holds a quote. Arrow builds and joins the columns, which takes a fraction of the time of a loop over rows.
`CONTIG_COLUMNS`, `WINDOW_COLUMNS` and `FRAME_COLUMNS` define the tables: the name of each column, and how it is made.
"""

import gzip
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from virnucpro_kernels.pool.columns import BOOLEANS, NOT_AVAILABLE
from virnucpro_kernels.pool.file_names import CONTIG_PARQUET, CONTIG_TABLE, FRAME_TABLE, WINDOW_TABLE
from virnucpro_kernels.pool.labels import FRAME_NAMES
from virnucpro_kernels.score.logistic import DECIMALS, sigmoid
from virnucpro_kernels.score.parquet_table import ParquetTable
from virnucpro_kernels.score.sample_reader import ContigBatch
from virnucpro_kernels.score.scoring import CALLS, TIERS, ContigScores, WindowScores, is_virus_frame
from virnucpro_kernels.sequences.arrays import Bools

PREDICTIONS = ("others", "virus")

_STRANDS = ("+", "-")
_MASK_NAMES = [",".join(name for bit, name in enumerate(FRAME_NAMES) if mask >> bit & 1) or None for mask in range(64)]
# Level 6 would take longer than the rest of the work together.
_GZIP_LEVEL = 4
#: Level for sequences and the track of scores, which level 4 makes smaller by a tenth in twice the time.
FAST_LEVEL = 1


def integers(values: npt.NDArray[Any], present: Bools | None = None) -> pa.Array:
    """Return integers as text; null where not `present`."""
    return pc.cast(pa.array(values, mask=None if present is None else ~present), pa.string())


def decimals(values: npt.NDArray[np.floating[Any]]) -> pa.Array:
    """Return numbers as text with `DECIMALS` places; null for NaN."""
    numbers = pa.array(np.asarray(values, np.float64), mask=np.isnan(values))
    return pc.cast(pc.cast(numbers, pa.decimal128(24, DECIMALS)), pa.string())


def words(names: Sequence[str | None], which: npt.NDArray[Any]) -> pa.Array:
    """Return one of `names` for each index; null for a negative index."""
    indices = np.asarray(which, np.int64)
    return pa.array(names, pa.string()).take(pa.array(indices, mask=indices < 0))


def quoted(texts: pa.Array) -> pa.Array:
    """Return `texts` as fields of a table: quoted as in CSV where they hold a quote, a tab or the end of a line."""
    special = pc.match_substring_regex(texts, '["\t\r\n]')
    if not pc.any(special).as_py():
        return texts
    safe = pc.binary_join_element_wise('"', pc.replace_substring(texts, '"', '""'), '"', "")
    return pc.if_else(special, safe, texts)


def one_line(texts: pa.Array) -> pa.Array:
    """Return `texts` with a blank for each control character (tabs among them)."""
    return pc.replace_substring_regex(texts, "[\x01-\x1f\x7f]|\\x00", " ")


def lines(columns: Sequence[pa.Array | str]) -> memoryview:
    """Return the rows of a table as UTF-8 lines, null as `NA`; a column that is one string holds it in every row."""
    text = pc.binary_join_element_wise(
        *columns[:-1],
        pc.binary_join_element_wise(columns[-1], "\n", "", null_handling="replace", null_replacement=NOT_AVAILABLE),
        "\t",
        null_handling="replace",
        null_replacement=NOT_AVAILABLE,
    )
    return memoryview(text.buffers()[2]) if len(text) else memoryview(b"")


@contextmanager
def deterministic_gzip(path: Path, level: int = _GZIP_LEVEL) -> Iterator[IO[bytes]]:
    """Open a gzip file for writing that holds neither time nor name, so that the same content gives the same bytes."""
    with path.open("wb") as raw, gzip.GzipFile("", "wb", level, raw, mtime=0) as file:
        yield cast(IO[bytes], file)


@dataclass(frozen=True)
class Rows:
    """Batch of contigs with its scores, from which the rows of the tables are made.

    Attributes:
        batch: Contigs with windows and frames.
        windows, contigs: Scores of its windows and of its contigs.
        sample: Name of the sample.
        model: Text of the column `model`.
        window_length: Window length of the model in bp.
    """

    batch: ContigBatch
    windows: WindowScores
    contigs: ContigScores
    sample: str
    model: str
    window_length: int

    @cached_property
    def contig(self) -> pa.Array:
        """IDs of the contigs as fields, string (m,)."""
        return quoted(self.batch.contig)

    @cached_property
    def owner(self) -> pa.Array:
        """Index of each window's contig, (w,)."""
        return pa.array(self.batch.window_contig)

    @cached_property
    def window_p_virus(self) -> pa.Array:
        """`p_virus` of each window as text, (w,); null where it has none."""
        return decimals(self.windows.p_virus)

    @property
    def window_status(self) -> pa.Array:
        """Status of each window, string (w,)."""
        unscored = pc.if_else(pc.equal(self.batch.status, "no_codon"), "no_codon", "no_open_frame").take(self.owner)
        return pc.if_else(pa.array(self.windows.scored), "scored", unscored)


Columns = Mapping[str, Callable[[Rows], pa.Array | str]]

CONTIG_COLUMNS: Columns = {
    "sample": lambda rows: rows.sample,
    "contig": lambda rows: rows.contig,
    "length": lambda rows: integers(rows.batch.length),
    "status": lambda rows: rows.batch.status,
    "windows": lambda rows: integers(rows.batch.windows),
    "scored_windows": lambda rows: integers(rows.contigs.scored_windows),
    "covered_fraction": lambda rows: decimals(rows.contigs.covered_fraction),
    "viral_windows": lambda rows: integers(rows.contigs.window_calls[:, 2]),
    "ambiguous_windows": lambda rows: integers(rows.contigs.window_calls[:, 1]),
    "host_windows": lambda rows: integers(rows.contigs.window_calls[:, 0]),
    "p_virus": lambda rows: decimals(rows.contigs.p_virus),
    "q_value": lambda rows: decimals(rows.contigs.q_value),
    "tier": lambda rows: words(TIERS, rows.contigs.tier),
    "call": lambda rows: words(CALLS, rows.contigs.call),
    "best_window": lambda rows: integers(rows.contigs.best_window, rows.contigs.best_window > 0),
    "note": lambda rows: pc.if_else(pc.equal(rows.batch.note, ""), None, rows.batch.note),
    "model": lambda rows: rows.model,
    "description": lambda rows: quoted(one_line(rows.batch.description)),
}
WINDOW_COLUMNS: Columns = {
    "sample": lambda rows: rows.sample,
    "contig": lambda rows: rows.contig.take(rows.owner),
    "window": lambda rows: integers(rows.batch.window_number),
    "start": lambda rows: integers(rows.batch.start),
    "end": lambda rows: integers(rows.batch.end),
    "status": lambda rows: rows.window_status,
    "short": lambda rows: words(BOOLEANS, 2 * (rows.batch.end - rows.batch.start) < rows.window_length),
    "frames": lambda rows: words(_MASK_NAMES, rows.batch.mask),
    "best_frame": lambda rows: words(FRAME_NAMES, rows.windows.best_frame),
    "strand": lambda rows: words(_STRANDS, np.where(rows.windows.scored, rows.windows.best_frame // 3, -1)),
    "p_virus": lambda rows: rows.window_p_virus,
    "margin": lambda rows: decimals(rows.windows.margin),
    "is_virus": lambda rows: words(BOOLEANS, np.where(rows.windows.scored, rows.windows.is_virus, -1)),
    "model": lambda rows: rows.model,
}
FRAME_COLUMNS: Columns = {
    "sample": lambda rows: rows.sample,
    "contig": lambda rows: rows.contig.take(pa.array(rows.batch.window_contig[rows.batch.frame_window])),
    "window": lambda rows: integers(rows.batch.window_number[rows.batch.frame_window]),
    "frame": lambda rows: words(FRAME_NAMES, rows.batch.frame),
    "strand": lambda rows: words(_STRANDS, rows.batch.frame // 3),
    "logit": lambda rows: decimals(rows.batch.logit),
    "p_virus": lambda rows: decimals(sigmoid(rows.batch.logit)),
    "prediction": lambda rows: words(PREDICTIONS, is_virus_frame(rows.batch)),
    "model": lambda rows: rows.model,
}


class Tables(ExitStack):
    """Context manager that writes the three tables into a folder; each of them may be added to in a thread of its own.

    Args:
        directory: Folder for the tables.
        sample: Name of the sample.
        model: Text of the column `model`.
        window_length: Window length of the model in bp; windows under half of it are marked as short.
    """

    def __init__(self, directory: Path, *, sample: str, model: str, window_length: int) -> None:
        super().__init__()
        self._sample, self._model, self._window_length = sample, model, window_length
        self._contigs = self.enter_context((directory / CONTIG_TABLE).open("wb"))
        self._windows = self.enter_context((directory / WINDOW_TABLE).open("wb"))
        self._frames = self.enter_context(deterministic_gzip(directory / FRAME_TABLE))
        self._parquet = self.enter_context(ParquetTable(directory / CONTIG_PARQUET, CONTIG_TABLE))
        headers = (self._contigs, CONTIG_COLUMNS), (self._windows, WINDOW_COLUMNS), (self._frames, FRAME_COLUMNS)
        for file, columns in headers:
            file.write(("\t".join(columns) + "\n").encode())

    def rows(self, batch: ContigBatch, windows: WindowScores, contigs: ContigScores) -> Rows:
        """Return what the rows of a batch are made from."""
        return Rows(batch, windows, contigs, self._sample, self._model, self._window_length)

    def add_contigs(self, rows: Rows) -> None:
        """Append the contigs of a batch."""
        texts = {name: column(rows) for name, column in CONTIG_COLUMNS.items()}
        self._contigs.write(lines(list(texts.values())))
        unquoted = {"contig": rows.batch.contig, "description": one_line(rows.batch.description)}
        self._parquet.add(texts | unquoted, len(rows.batch))

    def add_windows(self, rows: Rows) -> None:
        """Append the windows of a batch."""
        self._windows.write(lines([column(rows) for column in WINDOW_COLUMNS.values()]))

    def add_frames(self, rows: Rows) -> None:
        """Append the frames of a batch."""
        self._frames.write(lines([column(rows) for column in FRAME_COLUMNS.values()]))
