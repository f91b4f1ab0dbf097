import random
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest

from virnucpro_kernels.score.external_sort import ExternalSort


@pytest.mark.parametrize(
    ("rows", "run_bytes", "batch_bytes"),
    [(0, 1000, 100), (50, 1 << 20, 100), (4000, 20_000, 2000), (1500, 2000, 200), (600, 2000, 1)],
)
def test_rows_come_in_order_and_equal_keys_as_they_came(rows: int, run_bytes: int, batch_bytes: int) -> None:
    generator = random.Random(rows)
    keys = [generator.choice('aAä"\U0001f600_') + str(generator.randrange(rows // 5 + 1)) for _ in range(rows)]
    with ExternalSort("name", run_bytes=run_bytes, batch_bytes=batch_bytes) as sort:
        for first in range(0, rows, 37):
            sort.add(pa.table({"name": keys[first : first + 37], "place": range(first, min(rows, first + 37))}))
        tables = list(sort.tables())
    got = [pair for table in tables for pair in zip(table["name"].to_pylist(), table["place"].to_pylist(), strict=True)]
    assert got == sorted(zip(keys, range(rows), strict=True))
    in_table = [set(table["name"].to_pylist()) for table in tables]
    assert sum(map(len, in_table)) == len(set().union(*in_table)), "a key is in two tables"


def test_runs_lie_in_tmpdir_and_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with ExternalSort("name", run_bytes=1) as sort:
        sort.add(pa.table({"name": ["b", "a"]}))
        assert list(tmp_path.glob("*/*"))
    assert not list(tmp_path.iterdir())
