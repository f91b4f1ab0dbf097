"""A finished run that many tests copy and then change."""

import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from tests.helpers.runs import contigs, snakemake, write_run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished run of two samples in one pool and one in another, features kept; not to be changed.

    All workers of a parallel test run share it.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base
    directory = shared / "finished-run"
    with FileLock(shared / "finished-run.lock"):
        if not (shared / "finished-run.done").exists():
            inputs = {"one": contigs(0, 6), "two": contigs(6, 10), "three": contigs(2, 7)}
            pools = {"one": "first", "two": "first", "three": "second"}
            write_run(directory, inputs, "min_chunks: 2\nkeep: [features]\n", pools)
            ended = snakemake(directory)
            assert ended.returncode == 0, ended.stdout + ended.stderr
            (shared / "finished-run.done").touch()
    return directory


@pytest.fixture
def copy_of_finished(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "run", symlinks=True))
