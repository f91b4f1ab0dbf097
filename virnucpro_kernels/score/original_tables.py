"""The result files of the original tool, byte for byte: `prediction_results.txt` and `..._highestscore.csv`.

The original prints each frame's scores as float32, reads its own file back with pandas, and writes one line a window,
sorted by ID. Broad's version prints the same scores as float64, keeps the order of first appearance and adds the
highest scores. Both quirks are reproduced: those who parse these files expect them.
"""

import csv
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from virnucpro_kernels.pool.file_names import ORIGINAL_FRAMES, ORIGINAL_WINDOWS
from virnucpro_kernels.pool.labels import FRAME_NAMES
from virnucpro_kernels.score.external_sort import ExternalSort
from virnucpro_kernels.score.sample_reader import Block
from virnucpro_kernels.score.scoring import WindowScores, is_virus_frame
from virnucpro_kernels.score.tables import PREDICTIONS, integers, lines, words

Flavour = Literal["original", "broad"]
FLAVOURS: tuple[str, ...] = get_args(Flavour)

_FRAME_HEADER = b"Sequence_ID\tPrediction\tscore1\tscore2\n"
_WINDOW_HEADER = {
    "original": ("Modified_ID", "Is_Virus"),
    "broad": ("Modified_ID", "Is_Virus", "max_score_0", "max_score_1"),
}
_QUOTED = re.compile(r'"((?:[^"]|"")*)"(?!")(.*)', re.DOTALL)

Float32s = npt.NDArray[np.float32]


def score_text(scores: Float32s, flavour: Flavour) -> list[str]:
    """float32 scores as Python prints them: as numpy float32 in the original, as float64 in Broad's version."""
    return list(map(str, scores if flavour == "original" else scores.tolist()))


def eaten_quotes(name: str) -> str:
    """A window's ID as pandas reads it: a quoted beginning loses its quotes.

    Where a leading quote is never closed, pandas runs on through the following lines, and the original's table is
    garbage or its run dies; here such a name stays as it is.
    """
    match = _QUOTED.fullmatch(name)
    return match[1].replace('""', '"') + match[2] if match else name


def window_names(block: Block) -> pa.Array:
    """The original's IDs of the windows of a block, string (w,)."""
    contig = block.contig.take(pa.array(block.window_contig))
    return pc.binary_join_element_wise(contig, "_chunk_", integers(block.window_number), "")


class OriginalFiles:
    """Context manager that writes the two files; they are complete after `finish`.

    Args:
        directory: where to.
        flavour: as the original or as Broad's version writes them.
    """

    def __init__(self, directory: Path, flavour: Flavour) -> None:
        self._directory, self._flavour = directory, flavour
        self._stack = ExitStack()
        self._windows = 0

    def __enter__(self) -> Self:
        with self._stack:
            self._file = self._stack.enter_context((self._directory / ORIGINAL_FRAMES).open("wb"))
            self._file.write(_FRAME_HEADER)
            self._by_name = self._stack.enter_context(ExternalSort("name"))
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def add(self, block: Block, windows: WindowScores) -> None:
        """Append the frames of a block and note its windows."""
        names = window_names(block)
        self._file.write(_frame_lines(block, names, self._flavour))
        self._note_windows(names.filter(pa.array(windows.scored)), windows.highest[windows.scored])

    def _note_windows(self, names: pa.Array, highest: Float32s) -> None:
        if pc.any(pc.starts_with(names, '"')).as_py():
            names = pa.array([eaten_quotes(name) for name in names.to_pylist()], pa.string())
        place = pa.array(np.arange(self._windows, self._windows + len(names)))
        self._windows += len(names)
        self._by_name.add(pa.table({"name": names, "score1": highest[:, 0], "score2": highest[:, 1], "place": place}))

    def finish(self) -> None:
        """Write the file of the windows."""
        tables: Iterator[pa.Table] = map(_unite, self._by_name.tables())
        with ExitStack() as stack:
            if self._flavour == "broad":
                by_place = stack.enter_context(ExternalSort("place"))
                for table in tables:
                    by_place.add(table)
                tables = by_place.tables()
            file = stack.enter_context((self._directory / ORIGINAL_WINDOWS).open("w", encoding="utf-8", newline=""))
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerow(_WINDOW_HEADER[self._flavour])
            for table in tables:
                writer.writerows(_window_rows(table, self._flavour))


def _frame_lines(block: Block, names: pa.Array, flavour: Flavour) -> memoryview:
    names = names.take(pa.array(block.frame_window))
    return lines(
        [
            pc.binary_join_element_wise(names, words(FRAME_NAMES, block.frame), ""),
            words(PREDICTIONS, is_virus_frame(block)),
            pa.array(score_text(block.scores[:, 0], flavour), pa.string()),
            pa.array(score_text(block.scores[:, 1], flavour), pa.string()),
        ]
    )


def _unite(table: pa.Table) -> pa.Table:
    """One row a name (rows are sorted by it): different contigs may have become one by the loss of quotes."""
    names = table["name"].combine_chunks()
    is_first = np.concatenate([[True], pc.not_equal(names[1:], names[:-1]).to_numpy(zero_copy_only=False)])
    if is_first.all():
        return table
    first = np.flatnonzero(is_first)
    return pa.table(
        {
            "name": names.take(pa.array(first)),
            "score1": np.maximum.reduceat(table["score1"].to_numpy(), first),
            "score2": np.maximum.reduceat(table["score2"].to_numpy(), first),
            "place": np.minimum.reduceat(table["place"].to_numpy(), first),
        }
    )


def _window_rows(table: pa.Table, flavour: Flavour) -> Iterator[tuple[Any, ...]]:
    names = table["name"].to_pylist()
    score1, score2 = table["score1"].to_numpy(), table["score2"].to_numpy()
    is_virus = (score2 >= score1).tolist()
    if flavour == "original":
        return zip(names, is_virus, strict=True)
    return zip(names, is_virus, score1.tolist(), score2.tolist(), strict=True)
