"""Pools: small samples share one, and what was assigned stays."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.run.pools import Assignment, assign, estimate_bases, keep_pools, read_pools
from virnucpro_kernels.run.samples import Sample


def samples(*names: str) -> list[Sample]:
    return [Sample(name, Path(name)) for name in names]


def pools_of(assignments: list[Assignment]) -> dict[str, str]:
    return {assignment.sample: assignment.pool for assignment in assignments}


def test_small_consecutive_samples_share_a_pool_until_it_is_full() -> None:
    sizes = {"a": 40, "b": 40, "c": 40, "d": 500, "e": 10}
    assert pools_of(assign(samples(*sizes), {}, sizes, 100)) == {"a": "a", "b": "a", "c": "c", "d": "d", "e": "e"}


def test_a_sample_added_at_the_end_touches_the_last_pool_only() -> None:
    sizes = {"a": 60, "b": 60, "c": 10, "d": 50}
    first = assign(samples("a", "b", "c"), {}, sizes, 100)
    known = {assignment.sample: assignment for assignment in first}
    assert assign(samples("a", "b", "c", "d"), known, sizes, 100) == [Assignment("d", "d", 50)]
    assert assign(samples("a", "b", "c", "d"), known, sizes, 120) == [Assignment("d", "b", 50)]


def test_the_sheet_decides_where_it_names_a_pool() -> None:
    rows = [Sample("a", Path("a"), "p"), Sample("b", Path("b"))]
    assert pools_of(assign(rows, {}, {"b": 1}, 100)) == {"b": "b"}


def test_a_new_pool_never_takes_a_name_that_is_taken() -> None:
    known = {"x": Assignment("x", "b", 100)}
    assert pools_of(assign(samples("b"), known, {"b": 1}, 100)) == {"b": "b_"}


@given(st.lists(st.integers(0, 150), max_size=20), st.integers(0, 20))
def test_pools_grow_by_appending(sizes: list[int], cut: int) -> None:
    names = [f"s{i}" for i in range(len(sizes))]
    bases = dict(zip(names, sizes, strict=True))
    at_once = assign(samples(*names), {}, bases, 100)
    first = assign(samples(*names[:cut]), {}, bases, 100)
    then = assign(samples(*names), {assignment.sample: assignment for assignment in first}, bases, 100)
    assert first + then == at_once
    filled: dict[str, list[int]] = {}
    for assignment in at_once:
        filled.setdefault(assignment.pool, []).append(assignment.bases)
    assert all(len(held) == 1 or sum(held) <= 100 for held in filled.values())


def test_the_table_is_read_back_and_damage_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "work" / "pools.tsv"
    assert read_pools(path) == {}
    rows = [Assignment("a", "a", 5), Assignment("b", "a", 6)]
    keep_pools(rows, path)
    assert list(read_pools(path).values()) == rows
    path.write_text("sample\tpool\tbases\na\ta\n")
    with pytest.raises(DamagedFileError, match="virnucpro predict"):
        read_pools(path)


def test_bases_are_estimated_from_what_a_file_is(tmp_path: Path) -> None:
    fasta = b">x\n" + b"ACGTTGCA" * 1000
    (tmp_path / "a.fa").write_bytes(fasta)
    (tmp_path / "a.gz").write_bytes(gzip.compress(fasta, 0))
    (tmp_path / "a.fq").write_bytes(b"@x\n" + b"A" * 1000 + b"\n+\n" + b"I" * 1000 + b"\n")
    assert estimate_bases(tmp_path / "a.fa") == len(fasta)
    assert estimate_bases(tmp_path / "a.gz") > 3 * len(fasta)
    assert 900 < estimate_bases(tmp_path / "a.fq") < 1100
