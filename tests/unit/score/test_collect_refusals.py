"""`virnucpro collect`: damaged and contradictory files that it refuses."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers.collect_runs import ODD, plain, run
from tests.helpers.defaults import thresholds
from tests.helpers.synthetic_pool import Pool, make_model, write_pool, write_scores
from virnucpro_kernels.errors import DamagedFileError, UsageError
from virnucpro_kernels.pool.file_names import UNUSABLE
from virnucpro_kernels.pool.manifest import read_manifest, write_manifest
from virnucpro_kernels.pool.unusable import Unusable, stamp, write_unusable


def change_scores(pool: Pool, chunk: str, change: Any) -> None:
    path = pool.scores / f"{chunk}.parquet"
    table = pq.read_table(path)
    pq.write_table(change(table), path, row_group_size=7)


def set_value(table: pa.Table, column: str, place: int, value: float) -> pa.Table:
    values = table[column].to_numpy().copy()
    values[place] = value
    return table.set_column(table.schema.get_field_index(column), column, pa.array(values))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.slice(1), "rows, but the manifest says"),
        (lambda t: t.take(np.r_[1, 0, 2 : t.num_rows]), "ascending"),
        (lambda t: set_value(t, "row", 3, t["row"][2].as_py()), "ascending"),
        (lambda t: set_value(t, "logit", 2, np.nan), "not a finite number"),
        (lambda t: set_value(t, "p_virus", 2, np.inf), "not a finite number"),
        (lambda t: t.drop_columns(["p_other"]), "the scores cannot be read"),
        (lambda t: t.replace_schema_metadata({"model_id": "other-300-12345678"}), "are of model other-300-12345678"),
        (lambda t: t.replace_schema_metadata({}), "are of model unknown"),
    ],
)
def test_damaged_scores_are_refused(pool: Pool, tmp_path: Path, change: Any, message: str) -> None:
    change_scores(pool, "00001", change)
    with pytest.raises(DamagedFileError, match=rf"00001\.parquet: .*{message}"):
        run(pool, "first", tmp_path / "out")


def test_a_row_in_two_chunks_is_refused(pool: Pool, tmp_path: Path) -> None:
    path = pool.scores / "00000.parquet"
    rows, other = (pq.read_table(pool.scores / f"0000{n}.parquet")["row"].to_pylist() for n in (0, 1))
    rows = sorted([*rows[1:], other[0]])
    write_scores(path, rows, [0.0] * len(rows), pool.model.model_id)
    with pytest.raises(DamagedFileError, match=f"row {other[0]} is in another chunk too"):
        run(pool, "first", tmp_path / "out")


def test_a_missing_row_is_refused(pool: Pool, tmp_path: Path) -> None:
    manifest = pool.directory / "chunks.tsv"
    chunks = read_manifest(manifest)
    gone = pq.read_table(pool.scores / "00000.parquet")["row"].to_pylist()
    write_manifest(manifest, chunks[1:])
    with pytest.raises(DamagedFileError, match=rf"no score for row {gone[0]} |more frames than"):
        run(pool, "first", tmp_path / "out")
    write_manifest(manifest, chunks)
    (pool.scores / "00000.parquet").unlink()
    with pytest.raises(DamagedFileError, match=r"00000\.parquet: there are no scores of chunk 00000"):
        run(pool, "first", tmp_path / "out")


@pytest.mark.parametrize("table", ["contigs.parquet", "windows.parquet"])
def test_tables_that_do_not_fit_together_are_refused(pool: Pool, tmp_path: Path, table: str) -> None:
    other = write_pool(tmp_path / "other", {"first": plain(22), "odd": ODD})
    shutil.copy(other.directory / table, pool.directory / table)
    with pytest.raises(DamagedFileError, match=r"windows\.parquet: .* split"):
        run(pool, "odd", tmp_path / "out")


def shift_rows(table: pa.Table) -> pa.Table:
    rows = pa.array((table["contig"].to_numpy() >= 25) + table["first_row"].to_numpy())
    return table.set_column(table.schema.get_field_index("first_row"), "first_row", rows)


def call_it_unscored(table: pa.Table) -> pa.Table:
    status = [
        "no_open_frame" if name == "NA" else value
        for name, value in zip(table["contig"].to_pylist(), table["status"].to_pylist(), strict=True)
    ]
    column = pa.array(status).dictionary_encode()
    return table.set_column(table.schema.get_field_index("status"), "status", column)


def move_a_contig(table: pa.Table) -> pa.Table:
    return table.take(np.r_[0:31, 35, 31:35, 36 : table.num_rows])


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("windows.parquet", shift_rows, "the rows of the windows have gaps or overlap"),
        ("windows.parquet", lambda table: table.slice(0, 45), "rows too few"),
        ("windows.parquet", lambda table: table.drop_columns(["mask"]), "no column mask"),
        ("contigs.parquet", call_it_unscored, "the status of a contig does not fit the frames"),
        ("contigs.parquet", move_a_contig, "do not lie together"),
    ],
)
def test_contradictory_tables_are_refused(pool: Pool, tmp_path: Path, name: str, change: Any, message: str) -> None:
    path = pool.directory / name
    pq.write_table(change(pq.read_table(path)), path, row_group_size=5)
    with pytest.raises(DamagedFileError, match=message):
        run(pool, "odd", tmp_path / "out")


def test_a_truncated_table_is_refused(pool: Pool, tmp_path: Path) -> None:
    path = pool.directory / "windows.parquet"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DamagedFileError, match=r"windows\.parquet is not a readable Parquet file"):
        run(pool, "odd", tmp_path / "out")


def test_windows_of_another_length_than_the_models_are_refused(pool: Pool, tmp_path: Path) -> None:
    pool = replace(pool, model=make_model(tmp_path / "five", name="tiny-500", window_length=500))
    with pytest.raises(DamagedFileError, match=r"windows of 300 bp, but model tiny-500 is for 500 bp"):
        run(pool, "odd", tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(">c3 ", ">d3 "), "has 'd3' instead of the 'c3'"),
        (lambda text: text.replace(">c4 number 4\n", ">c4 number 4\nA"), "other lengths"),
        (lambda text: text + ">more\nACGT\n", "has more than the 23 records"),
        (lambda text: text[: text.index(">c22")], "has 22 instead of the 23 records"),
    ],
)
@pytest.mark.parametrize("threads", [1, 3])
def test_an_input_that_changed_since_the_split_is_refused(
    pool: Pool, tmp_path: Path, change: Any, message: str, threads: int
) -> None:
    path = pool.inputs["first"]
    path.write_text(change(path.read_text()))
    with pytest.raises(UsageError, match=message):
        run(pool, "first", tmp_path / "out", thresholds=thresholds(viral_threshold=0.0), threads=threads)
    assert not list((tmp_path / "out").glob("[!.]*.tsv")), "nothing was published"


def test_a_sample_that_split_left_out_is_refused(pool: Pool, tmp_path: Path) -> None:
    """Its tables would be empty, and look like those of an empty file."""
    path = pool.inputs["first"]
    write_unusable(pool.directory / UNUSABLE, [Unusable("first", *stamp([path]), f"{path}:\nis damaged")])
    with pytest.raises(UsageError, match=r"sample first was left out .*: is damaged"):
        run(pool, "first", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    run(pool, "last", tmp_path / "out")
    path.write_text("repaired")
    with pytest.raises(UsageError, match=r"has changed since .* remove .*chunks\.tsv and start again"):
        run(pool, "first", tmp_path / "out")
    (pool.directory / UNUSABLE).write_text("sample\n")
    with pytest.raises(DamagedFileError, match=r"unusable\.tsv: the table is damaged .* `virnucpro predict`"):
        run(pool, "last", tmp_path / "out")
