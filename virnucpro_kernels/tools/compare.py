"""Comparing two results: labels and scores of frames, windows and contigs, or vectors, matched by ID."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.pool.tsv import write_rows
from virnucpro_kernels.sequences.arrays import Float64s, Int64s
from virnucpro_kernels.tools.result_files import LEVELS, Results, find_samples, find_tables, read_results
from virnucpro_kernels.tools.vector_files import SUFFIXES, VectorFile, common_names, open_vectors

_VECTORS_AT_ONCE = 4096


@dataclass(frozen=True)
class Mismatch:
    """A row that differs.

    Attributes:
        level: Unit of a row: `frames`, `windows`, `contigs` or `vectors`, after the sample where there are
            several.
        id: ID of the row.
        kind: Type of the difference: `label`, `score`, `vector`, `only in A` or `only in B`.
        a, b: Both labels, or both values of the score that differs most; empty for vectors.
        difference: Largest difference of scores or of a vector's values; empty for labels.
        cosine: Cosine of the two vectors; empty for anything else.
    """

    level: str
    id: str
    kind: str
    a: str = ""
    b: str = ""
    difference: str = ""
    cosine: str = ""


@dataclass
class Comparison:
    """Result of the comparison of one level.

    Attributes:
        level: Unit of a row, see `Mismatch`.
        both: Number of rows that both sides have.
        labels_agree: Number of rows with the same label; None for vectors.
        compared: Names of the scores that both sides have.
        differences: Largest difference of these scores, or of a vector's values, for each row, float64 (n,).
        mismatches: Rows that only one side has, or that differ by more than the tolerance.
        cosines: Cosines of vectors, float64 (n,).
    """

    level: str
    both: int
    labels_agree: int | None
    compared: Sequence[str]
    differences: Float64s
    mismatches: list[Mismatch]
    cosines: Float64s = field(default_factory=lambda: np.empty(0))

    def lines(self) -> Iterator[str]:
        """Yield the findings for people."""
        kinds = Counter(mismatch.kind for mismatch in self.mismatches)
        only_in = ", ".join(f"{kinds[kind]:,} {kind}" for kind in ("only in A", "only in B"))
        yield f"{self.level}: {self.both:,} in both, {only_in}"
        if self.labels_agree is not None and self.both:
            percent = 100 * self.labels_agree / self.both
            yield f"  labels: {self.labels_agree:,} of {self.both:,} agree ({percent:.4g} %)"
        if len(self.cosines):
            yield f"  cosine: {_statistics(self.cosines)}"
        if len(self.differences):
            yield f"  largest difference of {', '.join(self.compared)}: {_statistics(self.differences)}"
        elif not self.compared:
            yield "  scores: none that both have; only labels are compared"


def _statistics(values: Float64s) -> str:
    return (
        f"mean {values.mean():.6g}, median {np.median(values):.6g}, max {values.max():.6g}, min {values.min():.6g},"
        f" standard deviation {values.std():.6g}"
    )


def _one_sided(level: str, only_a: Iterable[str], only_b: Iterable[str]) -> list[Mismatch]:
    sides = (("only in A", only_a), ("only in B", only_b))
    return [Mismatch(level, name, kind) for kind, names in sides for name in names]


def compare_results(a: Path, b: Path, tolerance: float, mismatches: Path | None, say: Callable[[str], object]) -> bool:
    """Compare two results, print what was found, and return whether they are equal within the tolerance.

    Args:
        a, b: Results of one kind, see `compare_paths`.
        tolerance: Largest difference that counts as equal.
        mismatches: Table to write everything that differs to.
        say: Function that prints a line.

    Raises:
        DamagedFileError: one of the results is missing, damaged, or cannot be compared with the other.
    """
    comparisons = compare_paths(a, b, tolerance)
    for comparison in comparisons:
        for line in comparison.lines():
            say(line)
    if mismatches is not None:
        write_rows(mismatches, Mismatch, (row for comparison in comparisons for row in comparison.mismatches))
    differing = sum(len(comparison.mismatches) for comparison in comparisons)
    if differing:
        say(f"different: {differing:,} mismatches at a tolerance of {tolerance:g}")
    else:
        say(f"equal within a tolerance of {tolerance:g}")
    return not differing


def compare_paths(a: Path, b: Path, tolerance: float) -> list[Comparison]:
    """Compare two result directories, two result tables or two files of vectors, whatever the two paths are.

    Args:
        a, b: Results of one kind. Directories hold the files of one sample (ours, or the original's `..._merged`), or
            of a run.
        tolerance: Largest difference of scores, or of the values of vectors, that counts as equal.

    Raises:
        DamagedFileError: one of them is missing, damaged, or cannot be compared with the other.
    """
    for path in (a, b):
        if not path.exists():
            raise DamagedFileError(f"{path}: there is no such file or directory")
    if a.is_dir() != b.is_dir():
        raise DamagedFileError(f"{a} and {b}: a directory and a file cannot be compared")
    if a.is_dir():
        return _compare_directories(a, b, tolerance)
    if a.suffix in SUFFIXES and b.suffix in SUFFIXES:
        return [compare_vectors(a, b, tolerance)]
    return [compare_tables(read_results(a), read_results(b), tolerance)]


def _compare_directories(a: Path, b: Path, tolerance: float) -> list[Comparison]:
    samples_a, samples_b = find_samples(a), find_samples(b)
    for directory, samples in ((a, samples_a), (b, samples_b)):
        if not samples:
            raise DamagedFileError(f"{directory}: there are no result tables in it, nor in folders of samples")
    if len(samples_a) == len(samples_b) == 1:
        samples_a, samples_b = (dict.fromkeys([""], *samples.values()) for samples in (samples_a, samples_b))
    found = []
    both = sorted(samples_a.keys() & samples_b.keys())
    if missing := _one_sided("samples", sorted(samples_a.keys() - both), sorted(samples_b.keys() - both)):
        found.append(Comparison("samples", len(both), None, ["files"], np.empty(0), missing))
    for sample in both:
        prefix = f"{sample}: " if sample else ""
        for left, right in _pairs(samples_a[sample], samples_b[sample]):
            found.append(compare_tables(read_results(left), read_results(right), tolerance, prefix))
    return found


def _pairs(a: Path, b: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the tables to compare: for each level, files of the same name where both directories have one."""
    tables_a, tables_b = find_tables(a), find_tables(b)
    shared = [level for level in LEVELS if level in tables_a and level in tables_b]
    if not shared:
        raise DamagedFileError(f"{a} and {b}: there is no table of frames, windows or contigs that both have")
    for level in shared:
        by_name = {path.name: path for path in tables_b[level]}
        same = [(path, by_name[path.name]) for path in tables_a[level] if path.name in by_name]
        yield same[0] if same else (tables_a[level][0], tables_b[level][0])


def compare_tables(a: Results, b: Results, tolerance: float, prefix: str = "") -> Comparison:
    """Compare two tables of one level; `prefix` goes before the level's name.

    Raises:
        DamagedFileError: the tables are of different levels.
    """
    if a.level != b.level:
        raise DamagedFileError(f"{a.path} holds {a.level}, {b.path} holds {b.level}: they cannot be compared")
    level = prefix + a.level
    names = a.table.index.intersection(b.table.index, sort=False)
    only_a, only_b = a.table.index.difference(names, sort=False), b.table.index.difference(names, sort=False)
    left, right = a.table.loc[names], b.table.loc[names]
    same_label = (left["label"] == right["label"]).to_numpy()
    scores = [name for name in left.columns if name != "label" and name in right.columns]
    values_a, values_b = left[scores].to_numpy(np.float64), right[scores].to_numpy(np.float64)
    apart = np.abs(values_a - values_b)
    # A row that neither side scores does not differ; one that only one side scores has another label.
    has_score = ~np.isnan(apart).all(axis=1) if scores else np.zeros(len(names), np.bool_)
    differences = np.nanmax(apart[has_score], axis=1) if has_score.any() else np.empty(0)

    mismatches = _one_sided(level, only_a, only_b)
    for position in np.flatnonzero(~same_label).tolist():
        labels = left["label"].iloc[position], right["label"].iloc[position]
        mismatches.append(Mismatch(level, str(names[position]), "label", *labels))
    scored = np.flatnonzero(has_score)
    for position in scored[differences > tolerance].tolist():
        worst = int(np.nanargmax(apart[position]))
        pair = f"{scores[worst]}={values_a[position, worst]:.9g}", f"{scores[worst]}={values_b[position, worst]:.9g}"
        mismatches.append(Mismatch(level, str(names[position]), "score", *pair, f"{apart[position, worst]:.6g}"))
    return Comparison(level, len(names), int(same_label.sum()), scores, differences, mismatches)


def compare_vectors(a: Path, b: Path, tolerance: float) -> Comparison:
    """Compare two files of vectors, `.h5` or `.pt`, some thousand vectors at a time.

    Raises:
        DamagedFileError: a file is damaged, the vectors are of different lengths, or their IDs are not known.
    """
    with ExitStack() as stack:
        left, right = (stack.enter_context(open_vectors(path)) for path in (a, b))
        index_a, index_b = (pd.Index(names) for names in common_names(left, right))
        if len(index_a) and len(index_b) and left.dimension != right.dimension:
            raise DamagedFileError(f"{a} has vectors of {left.dimension} values, {b} of {right.dimension}")
        for path, index in ((a, index_a), (b, index_b)):
            if index.has_duplicates:
                raise DamagedFileError(f"{path}: {index[index.duplicated()][0]!r} occurs twice")
        position_in_b = index_b.get_indexer(index_a)
        positions = np.flatnonzero(position_in_b >= 0)
        differences, cosines = _distances(left, right, positions, position_in_b[positions])
    mismatches = _one_sided("vectors", index_a[position_in_b < 0], index_b.difference(index_a, sort=False))
    for position in np.flatnonzero(differences > tolerance).tolist():
        figures = {"difference": f"{differences[position]:.6g}", "cosine": f"{cosines[position]:.9g}"}
        mismatches.append(Mismatch("vectors", index_a[positions[position]], "vector", **figures))
    return Comparison("vectors", len(positions), None, ["values"], differences, mismatches, cosines)


def _distances(left: VectorFile, right: VectorFile, in_left: Int64s, in_right: Int64s) -> tuple[Float64s, Float64s]:
    """Return the largest difference (m,) and the cosine (m,) of each pair of vectors; zero vectors have cosine 1.

    Args:
        left, right: Files of vectors.
        in_left, in_right: Positions (m,) of the pairs in the two files.
    """
    differences, cosines = np.empty(len(in_left)), np.empty(len(in_left))
    for first in range(0, len(in_left), _VECTORS_AT_ONCE):
        part = slice(first, first + _VECTORS_AT_ONCE)
        x = left.read(in_left[part]).astype(np.float64)
        y = right.read(in_right[part]).astype(np.float64)
        differences[part] = np.abs(x - y).max(axis=1)
        norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
        with np.errstate(invalid="ignore"):
            cosines[part] = np.where(norms > 0, (x * y).sum(axis=1) / norms, np.float64((x == y).all()))
    return differences, cosines
