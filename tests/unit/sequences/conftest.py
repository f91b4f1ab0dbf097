"""A file of given content, for the tests of sequence files."""

from pathlib import Path

import pytest

from tests.helpers.sequence_files import MakeFile


@pytest.fixture
def file(tmp_path: Path) -> MakeFile:
    def make(data: bytes, name: str = "input.dat") -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return make
