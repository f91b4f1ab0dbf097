"""Chunks: the plan, the manifest, and reading a chunk's pair of FASTA files."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.pool.chunk_fasta import read_frames
from virnucpro_kernels.pool.manifest import Chunk, read_manifest, write_manifest
from virnucpro_kernels.split.chunk_plan import plan_chunks

HISTOGRAMS = st.lists(st.integers(0, 40), min_size=2, max_size=60).map(lambda counts: np.array([0, *counts], np.int64))


@given(HISTOGRAMS, st.integers(1, 5000), st.integers(1, 50))
def test_chunks_are_equal_shares(histogram: np.ndarray, chunk_tokens: int, min_chunks: int) -> None:
    plan = plan_chunks(histogram, chunk_tokens=chunk_tokens, min_chunks=min_chunks)
    borders = plan.borders
    costs = np.repeat(np.arange(len(histogram)), histogram) + 2
    assert borders[0] == 0
    assert borders[-1] == len(costs)
    if len(costs) == 0:
        assert borders.tolist() == [0]
        assert len(plan) == 0
        return
    wanted = max(min_chunks, -(-int(costs.sum()) // chunk_tokens))
    assert len(borders) - 1 == min(wanted, len(costs))
    assert (np.diff(borders) > 0).all()
    parts = [costs[a:b] for a, b in pairwise(borders)]
    shares = np.array([part.sum() for part in parts])
    assert plan.tokens.tolist() == shares.tolist()
    assert plan.min_residues.tolist() == [part.min() - 2 for part in parts]
    assert plan.max_residues.tolist() == [part.max() - 2 for part in parts]
    if wanted * costs.max() <= costs.sum():
        assert abs(shares - costs.sum() / wanted).max() <= 2 * costs.max()


def test_the_plan_of_a_very_large_pool() -> None:
    plan = plan_chunks(np.array([0, 0, 10**13]), chunk_tokens=10**9, min_chunks=1)
    assert len(plan) == 40_000
    assert set(plan.tokens.tolist()) == {10**9}
    assert set(np.diff(plan.borders).tolist()) == {250_000_000}


CHUNKS = [
    Chunk("00000", 3, 30, 40, 5, 9, "a" * 64, "b" * 64, "500-original"),
    Chunk("00001", 1, 14, 9, 12, 12, "c" * 64, "d" * 64, "500-original"),
]


@pytest.mark.parametrize("chunks", [CHUNKS, []])
def test_the_manifest_keeps_the_chunks(tmp_path: Path, chunks: list[Chunk]) -> None:
    write_manifest(tmp_path / "chunks.tsv", chunks)
    assert read_manifest(tmp_path / "chunks.tsv") == chunks


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text.partition("\n")[2],
        lambda text: text.replace("\t30\t", "\tx\t"),
        lambda text: text.replace("\t30\t", "\t"),
        lambda text: text.replace("\t30\t", "\t30\t30\t"),
    ],
)
def test_a_damaged_manifest_is_refused(tmp_path: Path, damage: Callable[[str], str]) -> None:
    path = tmp_path / "chunks.tsv"
    write_manifest(path, CHUNKS)
    path.write_text(damage(path.read_text()))
    with pytest.raises(DamagedFileError, match=r"chunks\.tsv"):
        read_manifest(path)


FNA = '>3 a_chunk_1F1\nACGT\n>5 b|é;"_chunk_2R3\nNNACGU-*T\n>10  _chunk_1F2\nACG\n'
FAA = '>3 a_chunk_1F1\nT\n>5 b|é;"_chunk_2R3\nMKT\n>10  _chunk_1F2\nT\n'


def test_frames_are_read(tmp_path: Path) -> None:
    (tmp_path / "c.fna").write_text(FNA)
    (tmp_path / "c.faa").write_text(FAA)
    frames = read_frames(tmp_path / "c.fna", tmp_path / "c.faa")
    assert frames.rows.tolist() == [3, 5, 10]
    assert frames.ids == ["a_chunk_1F1", 'b|é;"_chunk_2R3', " _chunk_1F2"]
    assert list(frames.nucleotides) == [b"ACGT", b"NNACGU-*T", b"ACG"]
    assert list(frames.proteins) == [b"T", b"MKT", b"T"]


@pytest.mark.parametrize(
    ("fna", "faa"),
    [
        (FNA[:-1], FAA),
        (FNA, FAA[:-1]),
        (FNA, FAA[:-2]),
        (FNA[: FNA.index(">10")], FAA),
        (FNA, FAA[: FAA.index(">10")]),
        (FNA.replace(">3", "3"), FAA.replace(">3", "3")),
        (FNA.replace(">5", ">2"), FAA.replace(">5", ">2")),
        (FNA.replace(">5", ">3"), FAA.replace(">5", ">3")),
        (FNA.replace(">5 ", ">x "), FAA.replace(">5 ", ">x ")),
        (FNA.replace(">3 ", ">3"), FAA.replace(">3 ", ">3")),
        (FNA, FAA.replace(">5", ">6")),
        (FNA, FAA.replace("a_chunk", "b_chunk")),
        (FNA, FAA.replace("MKT", "")),
        (FNA.replace("ACGT\n", "ACGT\n\n"), FAA),
        (FNA, FAA.replace("MKT\n", "")),
    ],
)
def test_damaged_frames_are_refused(tmp_path: Path, fna: str, faa: str) -> None:
    (tmp_path / "c.fna").write_text(fna)
    (tmp_path / "c.faa").write_text(faa)
    with pytest.raises(DamagedFileError, match=r"c\.f"):
        read_frames(tmp_path / "c.fna", tmp_path / "c.faa")


def test_missing_frames_are_damage(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match=r"c\.fna: missing"):
        read_frames(tmp_path / "c.fna", tmp_path / "c.faa")
