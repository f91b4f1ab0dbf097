"""The result tables as text: `contigs.tsv`, `windows.tsv` and `frames.tsv.gz`, a block of contigs at a time.

Tab-separated, one header line, `NA` for what does not exist. A field is quoted as in CSV only where it holds a quote.
Columns are built and joined by Arrow, at a fraction of the time of a loop over rows.
"""

import gzip
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from virnucpro_kernels.pool.file_names import CONTIG_TABLE, FRAME_TABLE, WINDOW_TABLE
from virnucpro_kernels.pool.labels import FRAME_NAMES
from virnucpro_kernels.score.sample_reader import Block
from virnucpro_kernels.score.scoring import CALLS, DECIMALS, TIERS, ContigScores, WindowScores, is_virus_frame, sigmoid
from virnucpro_kernels.sequences.arrays import Bools

NOT_AVAILABLE = "NA"
PREDICTIONS = ("others", "virus")

CONTIG_COLUMNS = (
    *("contig", "description", "length", "status", "windows", "scored_windows", "covered_fraction"),
    *("viral_windows", "ambiguous_windows", "host_windows", "p_virus", "tier", "call", "best_window", "model"),
)
WINDOW_COLUMNS = (
    *("contig", "window", "start", "end", "status", "short", "frames", "best_frame", "strand"),
    *("p_virus", "margin", "is_virus", "model"),
)
FRAME_COLUMNS = ("contig", "window", "frame", "strand", "logit", "p_virus", "prediction", "model")

_STRANDS = ("+", "-")
_MASK_NAMES = [",".join(name for bit, name in enumerate(FRAME_NAMES) if mask >> bit & 1) or None for mask in range(64)]
# Level 6 takes longer than all else.
_GZIP_LEVEL = 4


def integers(values: npt.NDArray[Any], present: Bools | None = None) -> pa.Array:
    """Integers as text; null where not `present`."""
    return pc.cast(pa.array(values, mask=None if present is None else ~present), pa.string())


def decimals(values: npt.NDArray[np.floating[Any]]) -> pa.Array:
    """Numbers as text with `DECIMALS` places; null for NaN."""
    numbers = pa.array(np.asarray(values, np.float64), mask=np.isnan(values))
    return pc.cast(pc.cast(numbers, pa.decimal128(24, DECIMALS)), pa.string())


def words(names: Sequence[str | None], which: npt.NDArray[Any]) -> pa.Array:
    """One of `names` for each index; null for a negative index."""
    indices = np.asarray(which, np.int64)
    return pa.array(names, pa.string()).take(pa.array(indices, mask=indices < 0))


def quoted(texts: pa.Array) -> pa.Array:
    """`texts` as fields of a tab-separated table: quoted as in CSV where they hold a quote, a tab or a line's end."""
    special = pc.match_substring_regex(texts, '["\t\r\n]')
    if not pc.any(special).as_py():
        return texts
    safe = pc.binary_join_element_wise('"', pc.replace_substring(texts, '"', '""'), '"', "")
    return pc.if_else(special, safe, texts)


def one_line(texts: pa.Array) -> pa.Array:
    """`texts` with a blank for each control character (tabs among them)."""
    return pc.replace_substring_regex(texts, "[\x01-\x1f\x7f]|\\x00", " ")


def lines(columns: Sequence[pa.Array | str]) -> memoryview:
    """The rows of a table as UTF-8 lines, null as `NA`; a column that is one string holds it in every row."""
    text = pc.binary_join_element_wise(
        *columns[:-1],
        pc.binary_join_element_wise(columns[-1], "\n", "", null_handling="replace", null_replacement=NOT_AVAILABLE),
        "\t",
        null_handling="replace",
        null_replacement=NOT_AVAILABLE,
    )
    return memoryview(text.buffers()[2]) if len(text) else memoryview(b"")


@contextmanager
def deterministic_gzip(path: Path) -> Iterator[IO[bytes]]:
    """Open a gzip file for writing that holds neither time nor name, so that the same content gives the same bytes."""
    with path.open("wb") as raw, gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0) as file:
        yield cast(IO[bytes], file)


class Tables:
    """Context manager that writes the three tables into a directory.

    Args:
        directory: where to.
        model: what the column `model` says.
        window_length: of the model, in bp; windows under half of it are marked as short.
    """

    def __init__(self, directory: Path, *, model: str, window_length: int) -> None:
        self._directory, self._model, self._window_length = directory, model, window_length
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack:
            self._contigs = self._stack.enter_context((self._directory / CONTIG_TABLE).open("wb"))
            self._windows = self._stack.enter_context((self._directory / WINDOW_TABLE).open("wb"))
            self._frames = self._stack.enter_context(deterministic_gzip(self._directory / FRAME_TABLE))
            for file, columns in (
                (self._contigs, CONTIG_COLUMNS),
                (self._windows, WINDOW_COLUMNS),
                (self._frames, FRAME_COLUMNS),
            ):
                file.write(("\t".join(columns) + "\n").encode())
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def add(self, block: Block, windows: WindowScores, contigs: ContigScores) -> None:
        """Append the rows of a block."""
        contig = quoted(block.contig)
        self._contigs.write(self._contig_lines(block, contig, contigs))
        self._windows.write(self._window_lines(block, contig, windows))
        self._frames.write(self._frame_lines(block, contig))

    def _contig_lines(self, block: Block, contig: pa.Array, scores: ContigScores) -> memoryview:
        host, ambiguous, viral = scores.window_calls.T
        columns = {
            "contig": contig,
            "description": quoted(one_line(block.description)),
            "length": integers(block.length),
            "status": block.status,
            "windows": integers(block.windows),
            "scored_windows": integers(scores.scored_windows),
            "covered_fraction": decimals(scores.covered),
            "viral_windows": integers(viral),
            "ambiguous_windows": integers(ambiguous),
            "host_windows": integers(host),
            "p_virus": decimals(scores.p_virus),
            "tier": words(TIERS, scores.tier),
            "call": words(CALLS, scores.call),
            "best_window": integers(scores.best_window, scores.best_window > 0),
            "model": self._model,
        }
        return lines([columns[name] for name in CONTIG_COLUMNS])

    def _window_lines(self, block: Block, contig: pa.Array, scores: WindowScores) -> memoryview:
        owner = pa.array(block.window_contig)
        unscored = pc.if_else(pc.equal(block.status, "no_codon"), "no_codon", "no_open_frame").take(owner)
        best, scored = scores.best_frame, scores.scored
        columns = {
            "contig": contig.take(owner),
            "window": integers(block.window_number),
            "start": integers(block.start),
            "end": integers(block.end),
            "status": pc.if_else(pa.array(scored), "scored", unscored),
            "short": words(("False", "True"), 2 * (block.end - block.start) < self._window_length),
            "frames": words(_MASK_NAMES, block.mask),
            "best_frame": words(FRAME_NAMES, best),
            "strand": words(_STRANDS, np.where(scored, best // 3, -1)),
            "p_virus": decimals(scores.p_virus),
            "margin": decimals(scores.margin),
            "is_virus": words(("False", "True"), np.where(scored, scores.is_virus, -1)),
            "model": self._model,
        }
        return lines([columns[name] for name in WINDOW_COLUMNS])

    def _frame_lines(self, block: Block, contig: pa.Array) -> memoryview:
        window = block.frame_window
        columns = {
            "contig": contig.take(pa.array(block.window_contig[window])),
            "window": integers(block.window_number[window]),
            "frame": words(FRAME_NAMES, block.frame),
            "strand": words(_STRANDS, block.frame // 3),
            "logit": decimals(block.logit),
            "p_virus": decimals(sigmoid(block.logit)),
            "prediction": words(PREDICTIONS, is_virus_frame(block)),
            "model": self._model,
        }
        return lines([columns[name] for name in FRAME_COLUMNS])
