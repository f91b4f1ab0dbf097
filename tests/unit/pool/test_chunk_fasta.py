"""The pair of FASTA files of a chunk: read as arrays, and refused where the files are damaged or differ."""

from pathlib import Path

import pytest

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.pool.chunk_fasta import read_frames

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
    with pytest.raises(DamagedFileError, match=r"c\.fna: the file is missing"):
        read_frames(tmp_path / "c.fna", tmp_path / "c.faa")
