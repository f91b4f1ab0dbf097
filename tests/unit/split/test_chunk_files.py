"""The FASTA files of the chunks: text appended in turn stays in order, and the folder appears only when complete."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from virnucpro_kernels.split.chunk_files import ChunkFiles
from virnucpro_kernels.split.second_pass import ChunkPiece


def piece(chunk: int, number: int) -> ChunkPiece:
    texts = (f">{number} x\n{sequence}\n".encode() for sequence in ("ACG", "T"))
    return ChunkPiece(chunk, 1, 3, *(np.frombuffer(text, np.uint8) for text in texts))


@pytest.mark.parametrize("buffer_bytes", [1, 40, 1 << 20])
def test_what_is_appended_arrives_in_order(tmp_path: Path, buffer_bytes: int) -> None:
    numbers = [0, 1, 1, 2, 0, 1, 0, 0]
    with ChunkFiles(tmp_path / "chunks", 3, buffer_bytes=buffer_bytes) as files:
        for row, chunk in enumerate(numbers):
            files.append(piece(chunk, row))
        assert not (tmp_path / "chunks").exists()
    assert files.names == ["00000", "00001", "00002"]
    assert files.rows == [4, 3, 1]
    assert files.bases == [12, 9, 3]
    for chunk, name in enumerate(files.names):
        rows = [row for row, number in enumerate(numbers) if number == chunk]
        texts = ["".join(f">{row} x\n{sequence}\n" for row in rows) for sequence in ("ACG", "T")]
        paths = [tmp_path / "chunks" / f"{name}{suffix}" for suffix in (".fna", ".faa")]
        assert [path.read_text() for path in paths] == texts
        assert list(files.checksums(chunk)) == [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chunks"]


def fail_midway(directory: Path) -> None:
    with ChunkFiles(directory, 2, buffer_bytes=1) as files:
        files.append(piece(1, 7))
        raise RuntimeError


def test_a_failure_leaves_the_older_directory(tmp_path: Path) -> None:
    with ChunkFiles(tmp_path / "chunks", 1) as files:
        files.append(piece(0, 5))
    with pytest.raises(RuntimeError):
        fail_midway(tmp_path / "chunks")
    assert [path.name for path in tmp_path.iterdir()] == ["chunks"]
    assert (tmp_path / "chunks" / "00000.fna").read_text() == ">5 x\nACG\n"
    with ChunkFiles(tmp_path / "chunks", 2, buffer_bytes=1) as files:
        files.append(piece(1, 7))
    assert [path.name for path in sorted((tmp_path / "chunks").iterdir())] == ["00001.faa", "00001.fna"]


@pytest.mark.parametrize("buffer_bytes", [1, 1 << 20])
def test_files_that_were_taken_away_are_not_published(tmp_path: Path, buffer_bytes: int) -> None:
    with ChunkFiles(tmp_path / "chunks", 1) as newer:
        newer.append(piece(0, 2))
    orphan = ChunkFiles(tmp_path / "chunks", 1, buffer_bytes=buffer_bytes)
    orphan.__enter__()
    orphan.append(piece(0, 1))
    [unfinished] = tmp_path.glob(".*.chunks")
    shutil.rmtree(unfinished)
    with pytest.raises(FileNotFoundError):
        orphan.__exit__(None, None, None)
    assert (tmp_path / "chunks" / "00000.fna").read_text() == ">2 x\nACG\n"
