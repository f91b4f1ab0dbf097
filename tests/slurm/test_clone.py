"""`snakemake --profile slurm` in a clone, on a cluster without accounting: Ctrl-C, a rerun, and the loss of a node."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.runs import ROOT, checksums
from tests.slurm.cluster import Cluster
from tests.slurm.runs import (
    CONFIG,
    LIMIT,
    TOKEN_BUDGET,
    UNCOMPARED,
    embed_jobs,
    embed_record,
    is_alive,
    park,
    resumed,
    running,
    wait_for_embed_job,
    write_inputs,
)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files of the repository as they are now, and a user's configuration and sample sheet."""
    directory = tmp_path / "clone"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, directory / name, follow_symlinks=False)
    rows = [f"{path.stem}\t{path}" for path in write_inputs(tmp_path / "inputs")]
    (directory / "config" / "samples.tsv").write_text("\n".join(["sample\tinput", *rows]) + "\n")
    (directory / "config" / "config.yaml").write_text(yaml.safe_dump({"samples": "config/samples.tsv", **CONFIG}))
    return directory


def test_ctrl_c_a_rerun_and_the_loss_of_a_node(
    cluster_without_accounting: Cluster, expected: dict[str, str], clone: Path
) -> None:
    cluster = cluster_without_accounting
    command: list[str | Path] = [
        *(sys.executable, "-m", "snakemake", "--profile", "slurm", "--default-resources", "slurm_partition=both"),
        *("--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "10"),
        *(
            "--set-resources",
            "embed:device=cpu",
            f"embed:token_budget={TOKEN_BUDGET}",
            "embed:gpu=0",
            "embed:gres=gpu:1",
        ),
        *("--set-threads", "split=1", "embed=1", "classify=1"),
    ]
    with running(command, cluster, clone) as run:
        interrupted = wait_for_embed_job(clone, run)
        park(interrupted, clone)
        run.send_signal(signal.SIGINT)
        assert run.wait(LIMIT) != 0
    cluster.wait_until(lambda: cluster.call("squeue", "--noheader") == "", "jobs are left")
    assert embed_jobs(clone) == []

    with running(command, cluster, clone) as run:
        lost = wait_for_embed_job(clone, run, other_than=interrupted.chunk)
        went_on = finished_again(interrupted.chunk, clone)
        assert resumed(went_on) > 0, "the interrupted chunk was begun anew"
        park(lost, clone)
        assert lost.gpus in {"0", "1"}
        node = cluster.call("squeue", "--noheader", f"--jobs={lost.slurm_id}", "--format=%N").strip()
        cluster.lose_node(node)
        assert not is_alive(lost)
        run.wait(LIMIT)
    said = (clone / "output.txt").read_text()
    assert run.returncode == 1, said
    assert "bad" in (clone / "results" / "failed.tsv").read_text()
    assert checksums(clone, without=UNCOMPARED) == expected, said
    assert resumed(embed_record(clone, lost.chunk)) > 0, "the chunk of the lost node was begun anew"


def finished_again(chunk: str, directory: Path) -> dict[str, Any]:
    """Wait until the second attempt at a chunk is complete; return its record."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        record = embed_record(directory, chunk)
        if record["attempts"] == 2 and record["state"] == "complete":
            return record
        time.sleep(0.1)
    raise AssertionError(f"chunk {chunk} was not finished")
