"""Tables sorted in pieces on the disk: the order of one sort in memory, whatever the size of the pieces."""

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from virnucpro_kernels.errors import VirnucproError
from virnucpro_kernels.score.external_sort import ExternalSort


def table(names: list[str], places: range | list[int]) -> pa.Table:
    scores = np.random.default_rng(len(names)).random((len(names), 2), dtype=np.float32)
    return pa.table({"name": names, "score1": scores[:, 0], "score2": scores[:, 1], "position": pa.array(places)})


def rows(tables: list[pa.Table]) -> list[tuple[str, float, float, int]]:
    columns = ("name", "score1", "score2", "position")
    return [row for each in tables for row in zip(*(each[name].to_pylist() for name in columns), strict=True)]


@pytest.mark.parametrize(("number", "buffer"), [(0, "64M"), (1, "64M"), (4000, "64M"), (4000, "16K")])
def test_rows_come_in_order_and_equal_keys_as_they_came(tmp_path: Path, number: int, buffer: str) -> None:
    generator = random.Random(number)
    begin = ("a", "A", "ä", '"', '""a', "\U0001f600", "_", "#", "a\x0bb", " b ", "NA", "\\")
    names = [generator.choice(begin) + str(generator.randrange(number // 5 + 1)) for _ in range(number)]
    added = [table(names[first : first + 37], range(first, min(number, first + 37))) for first in range(0, number, 37)]
    with ExternalSort("name", tmp_path, buffer=buffer) as by_name, ExternalSort("position", tmp_path) as by_place:
        for each in added:
            by_name.add(each)
        sorted_by_name = list(by_name.tables())
        for each in sorted_by_name:
            by_place.add(each)
        sorted_by_place = list(by_place.tables())
    assert rows(sorted_by_name) == sorted(rows(added), key=lambda row: (row[0], row[3]))
    assert rows(sorted_by_place) == rows(added)
    assert not list(tmp_path.iterdir())


def sort_some(folder: Path) -> None:
    with ExternalSort("name", folder) as sort:
        sort.add(table(["b", "a"], [0, 1]))
        list(sort.tables())


def test_a_missing_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(VirnucproError, match=r"`sort` is missing.*coreutils"):
        sort_some(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_failure_is_told_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = tmp_path / "commands"
    commands.mkdir()
    (commands / "sort").write_text("#!/bin/sh\necho sort: write failed: No space left on device >&2\nexit 2\n")
    (commands / "sort").chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:/bin:/usr/bin")
    with pytest.raises(VirnucproError, match="sorting the windows failed: sort: write failed: No space left"):
        sort_some(tmp_path)
    assert list(tmp_path.iterdir()) == [commands]
