"""Two clusters, with and without accounting, and the results of a run on this machine alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.helpers.runs import call, checksums
from tests.slurm.cluster import Cluster, missing_packages
from tests.slurm.runs import TOKEN_BUDGET, UNCOMPARED, predict_command, write_inputs


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and skip them where no cluster can be started."""
    missing = missing_packages()
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slurm)
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"needs the Debian packages {' '.join(missing)}"))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with accounting."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def cluster_without_accounting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster without accounting, where sacct fails."""
    with Cluster(tmp_path_factory.mktemp("cluster"), accounting=False) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Checksums of the results of a run on this machine alone; all workers of a parallel test run share it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base
    directory = shared / "local-run"
    snakemake = ("--", "--set-resources", f"embed:token_budget={TOKEN_BUDGET}", "--set-threads", "embed=1")
    with FileLock(shared / "local-run.lock"):
        if not directory.exists():
            inputs = write_inputs(directory / "inputs")
            ended = call([*predict_command(directory / "out", *inputs), *snakemake])
            assert ended.returncode == 2, ended.stdout + ended.stderr
    return checksums(directory / "out", without=UNCOMPARED)
