"""What Slurm refuses is told in its own words."""

from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.configuration import ACCOUNT, REFUSED_ACCOUNT
from tests.slurm.runs import LIMIT, predict_command, running, write_inputs, write_profile


@pytest.mark.parametrize(
    ("account", "partition", "words"),
    [
        (REFUSED_ACCOUNT, "gpu", "sbatch: error: Batch job submission failed: Invalid account or account/partition"),
        (ACCOUNT, "nowhere", "sbatch: error: invalid partition specified: nowhere"),
        ("nobodys", "gpu", "The given account nobodys appears to be invalid. Available accounts:"),
    ],
)
def test_a_refused_job(cluster: Cluster, tmp_path: Path, account: str, partition: str, words: str) -> None:
    resources = ["mem_mb=2000", "runtime=30", f"slurm_account='{account}'", f"slurm_partition='{partition}'"]
    profile = write_profile(tmp_path / "site", **{"default-resources": resources})
    inputs = write_inputs(tmp_path / "inputs")
    with running(predict_command(tmp_path / "out", *inputs, "--profile", profile), cluster, tmp_path) as run:
        assert run.wait(LIMIT) == 1
    assert words in (tmp_path / "output.txt").read_text()
