"""Checksums are remembered as long as a file has not changed."""

import os
from pathlib import Path

import pytest

from virnucpro_kernels.files import sha256
from virnucpro_kernels.run import checksums
from virnucpro_kernels.run.checksums import Checksums


def test_an_unchanged_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    def counted(path: Path) -> str:
        read.append(path)
        return sha256(path)

    monkeypatch.setattr(checksums, "sha256", counted)
    table, memory = tmp_path / "table.tsv", tmp_path / ".checked.json"
    table.write_text("one")
    times = table.stat()
    for _ in range(2):
        known = Checksums(memory)
        assert known.of(table) == sha256(table)
        known.save()
    assert len(read) == 1
    table.write_text("two")
    os.utime(table, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert Checksums(memory).of(table) == sha256(table), "the time of the inode tells"
    assert len(read) == 2
    memory.write_bytes(memory.read_bytes()[:-9] + b"\xff")
    assert Checksums(memory).of(table) == sha256(table)
    assert len(read) == 3, "a damaged memory only costs time"
