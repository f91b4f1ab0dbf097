"""Small tables: what is written is read again, and anything else is refused."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.pool.tsv import read_rows, write_rows


@dataclass(frozen=True)
class Fruit:
    name: str
    seeds: int


@pytest.mark.parametrize("rows", [[], [Fruit("fig", 1_500), Fruit('a "wild\tpläum"', 1), Fruit("", -2)]])
def test_rows_are_read_as_they_were_written(tmp_path: Path, rows: list[Fruit]) -> None:
    write_rows(tmp_path / "fruit.tsv", Fruit, rows)
    assert read_rows(tmp_path / "fruit.tsv", Fruit, remedy="grow it") == rows


def test_the_bytes_are_those_of_a_plain_table(tmp_path: Path) -> None:
    write_rows(tmp_path / "fruit.tsv", Fruit, [Fruit("fig", 1_500)])
    assert (tmp_path / "fruit.tsv").read_bytes() == b"name\tseeds\nfig\t1500\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"fig\t1\n",
        b"name\nfig\n",
        b"name\tseeds\nfig\n",
        b"name\tseeds\nfig\t1\t2\n",
        b"name\tseeds\nfig\tx\n",
        b"name\tseeds\n\xff\t1\n",
    ],
)
def test_a_damaged_table_is_refused_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "fruit.tsv"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"fruit\.tsv: the table is damaged \(.*\); grow it$"):
        read_rows(path, Fruit, remedy="grow it")


def test_the_reader_is_light() -> None:
    """Snakemake reads manifests each time that it parses the workflow."""
    code = "import sys, virnucpro_kernels.pool.tsv; print(*{'numpy', 'pandas', 'pyarrow', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
