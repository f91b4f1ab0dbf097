"""What Slurm refuses, and what it accepts and does not start, is told in its own words."""

import json
import re
import signal
import time
from pathlib import Path

import pytest

from tests.helpers.runs import call, virnucpro_command
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


def test_a_job_that_does_not_start(cluster: Cluster, tmp_path: Path) -> None:
    out, inputs = tmp_path / "out", write_inputs(tmp_path / "inputs")
    resources = ["mem_mb=2000", "runtime=30", f"slurm_account='{ACCOUNT}'", "slurm_partition='gpu'"]
    profile = write_profile(tmp_path / "site", **{"default-resources": resources})
    cluster.call("scontrol", "update", "NodeName=n1", "State=DRAIN", "Reason=repair")
    reasons, end = set[str](), time.monotonic() + LIMIT
    try:
        with running(predict_command(out, *inputs, "--profile", profile), cluster, tmp_path) as run:
            while not (told := re.search(r"1 job waits in Slurm's queue: (.*?) \(1\)", output(tmp_path))):
                assert run.poll() is None, output(tmp_path)
                assert time.monotonic() < end, output(tmp_path)
                reasons |= set(cluster.call("squeue", "--noheader", "--format=%r").splitlines())
                time.sleep(0.5)
            assert told[1] in reasons
            status = call(virnucpro_command("status", out), None, **cluster.environment)
            assert f"queue     {told[0]}" in status.stdout
            status = call(virnucpro_command("status", out, "--json"), None, **cluster.environment)
            assert json.loads(status.stdout)["queue"] == {told[1]: 1}
            run.send_signal(signal.SIGINT)
            assert run.wait(LIMIT) == 130
        assert cluster.call("squeue", "--noheader") == ""
    finally:
        cluster.call("scontrol", "update", "NodeName=n1", "State=RESUME")


def output(directory: Path) -> str:
    """What a run has printed, without the ends of lines, which are wrapped."""
    return " ".join((directory / "output.txt").read_text().split())
