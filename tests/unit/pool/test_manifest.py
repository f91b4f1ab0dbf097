"""The manifest of a pool: what is written is read again, and anything else is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.pool.manifest import Chunk, read_manifest, write_manifest

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
