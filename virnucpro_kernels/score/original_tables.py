"""The result files of the original tool, byte for byte: `prediction_results.txt` and `..._highestscore.csv`.

The original prints each frame's scores as float32, reads its own file back with pandas, and writes one line a window,
sorted by ID. Broad's version prints the same scores as float64, keeps the order of first appearance and adds the
highest scores. Both quirks are reproduced: those who parse these files expect them.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from virnucpro_kernels.pool.file_names import ORIGINAL_FRAMES, ORIGINAL_WINDOWS
from virnucpro_kernels.pool.labels import FRAME_NAMES
from virnucpro_kernels.score.external_sort import ExternalSort
from virnucpro_kernels.score.sample_reader import ContigBatch
from virnucpro_kernels.score.scoring import WindowScores, is_virus_frame
from virnucpro_kernels.score.tables import PREDICTIONS, integers, lines, words

Flavour = Literal["original", "broad"]
OriginalFormat = Literal["original", "broad", "none"]

FRAME_COLUMNS = ("Sequence_ID", "Prediction", "score1", "score2")
WINDOW_COLUMNS = {
    "original": ("Modified_ID", "Is_Virus"),
    "broad": ("Modified_ID", "Is_Virus", "max_score_0", "max_score_1"),
}
#: Python prints smaller numbers with an exponent, those below the second with one of two digits or more, as Arrow does.
_FIXED_FROM, _TWO_DIGITS_BELOW = 1e-4, 9.9e-10
_QUOTED = re.compile(r'"((?:[^"]|"")*)"(?!")(.*)', re.DOTALL)


def name_as_pandas_reads_it(name: str) -> str:
    """Return a window's ID as pandas reads it: a quoted beginning loses its quotes.

    Where a leading quote is never closed, pandas runs on through the following lines, and the original's table is
    corrupted or its run fails; here such a name stays as it is.
    """
    match = _QUOTED.fullmatch(name)
    return match[1].replace('""', '"') + match[2] if match else name


class OriginalFiles(ExitStack):
    """Context manager that writes the two files; they are complete after `finish`.

    Args:
        directory: Folder for the files, and for temporary ones.
        flavour: Form of the files: the original's or that of Broad's version.
    """

    def __init__(self, directory: Path, flavour: Flavour) -> None:
        super().__init__()
        self._directory, self._flavour = directory, flavour
        self._windows = 0
        self._file = self.enter_context((directory / ORIGINAL_FRAMES).open("wb"))
        self._file.write(("\t".join(FRAME_COLUMNS) + "\n").encode())
        self._by_name = self.enter_context(ExternalSort("name", directory))

    def add(self, batch: ContigBatch, windows: WindowScores) -> None:
        """Append the frames of a batch and note its windows."""
        contig = batch.contig.take(pa.array(batch.window_contig))
        names = pc.binary_join_element_wise(contig, "_chunk_", integers(batch.window_number), "")
        frames = pc.binary_join_element_wise(
            names.take(pa.array(batch.frame_window)), words(FRAME_NAMES, batch.frame), ""
        )
        # As Python prints them: numpy's float32 in the original, float64 in Broad's version.
        kind = np.float32 if self._flavour == "original" else np.float64
        texts = (printed(scores.astype(kind)) for scores in batch.scores.T)
        self._file.write(lines([frames, words(PREDICTIONS, is_virus_frame(batch)), *texts]))
        names = names.filter(pa.array(windows.scored))
        if pc.any(pc.starts_with(names, '"')).as_py():
            names = pa.array([name_as_pandas_reads_it(name) for name in names.to_pylist()], pa.string())
        score1, score2 = windows.highest[windows.scored].T
        position = np.arange(self._windows, self._windows + len(names))
        self._windows += len(names)
        self._by_name.add(pa.table({"name": names, "score1": score1, "score2": score2, "position": position}))

    def finish(self) -> None:
        """Write the file of the windows."""
        header = WINDOW_COLUMNS[self._flavour]
        tables: Iterator[pa.Table] = map(_unite, _whole_names(self._by_name.tables()))
        if self._flavour == "broad":
            by_position = self.enter_context(ExternalSort("position", self._directory))
            for table in tables:
                by_position.add(table)
            tables = by_position.tables()
        with (self._directory / ORIGINAL_WINDOWS).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerow(header)
            for table in tables:
                is_virus = pc.greater_equal(table["score2"], table["score1"])
                columns = [table["name"], is_virus, table["score1"], table["score2"]][: len(header)]
                writer.writerows(zip(*(column.to_pylist() for column in columns), strict=True))


def printed(scores: npt.NDArray[np.floating[Any]]) -> pa.Array:
    """Return scores, 0 to 1, as `str` prints them. Arrow is much faster, but writes some of them in another way."""
    exact = scores.astype(np.float64)
    same = ((exact >= _FIXED_FROM) & (exact < 1)) | ((exact > 0) & (exact < _TWO_DIGITS_BELOW))
    others = pa.array(map(str, scores[~same]), pa.string())
    return pc.replace_with_mask(pc.cast(pa.array(scores), pa.string()), pa.array(~same), others)


def _whole_names(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield the same rows, sorted by name, so that the rows of one name are always in one table."""
    kept: list[pa.Table] = []
    for table in tables:
        rows = pa.concat_tables([*kept, table]).combine_chunks()
        last = pc.index(rows["name"], rows["name"][-1]).as_py()  # more rows of the last name may follow
        yield rows.slice(0, last)
        kept = [rows.slice(last)]
    yield from kept


def _unite(table: pa.Table) -> pa.Table:
    """Return one row a name (rows are sorted by it): different contigs may have become one by the loss of quotes."""
    if pc.count_distinct(table["name"]).as_py() == table.num_rows:
        return table
    values = [("score1", "max"), ("score2", "max"), ("position", "min")]
    united = table.group_by("name", use_threads=False).aggregate(values)
    return united.rename_columns([name.partition("_")[0] for name in united.column_names]).sort_by("name")
