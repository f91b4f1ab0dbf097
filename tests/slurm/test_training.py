"""`virnucpro train --profile` on a cluster: its steps are jobs of Slurm, and the model is that of one machine."""

from pathlib import Path

from tests.helpers.runs import ROOT, call, virnucpro_command
from tests.slurm.cluster import Cluster
from tests.slurm.runs import LIMIT, running, write_profile
from virnucpro_kernels.weights.load import verify
from virnucpro_kernels.weights.registry import find_model

STEPS = ("draw", "split", "embed", "fit")
TABLE = ROOT / ".test" / "data" / "training.tsv"


def train_command(out: Path, *arguments: str | Path) -> list[str | Path]:
    """Return a command of `virnucpro train` for a small training."""
    small = (
        "--base",
        "builtin-500",
        "--name",
        "mine-500",
        "--windows",
        "60",
        "--set",
        "held_out_windows=20",
        "--device",
        "cpu",
    )
    return virnucpro_command("train", TABLE, *small, "--precision", "fp32", "--output-dir", out, *arguments)


def test_a_training_on_a_cluster(cluster: Cluster, tmp_path: Path) -> None:
    profile = write_profile(
        tmp_path / "profile", **{"default-resources": ["slurm_account=lab", "slurm_partition=both", "mem_mb=2000"]}
    )
    with running(train_command(tmp_path / "out", "--profile", profile), cluster, tmp_path) as run:
        assert run.wait(LIMIT) == 0, (tmp_path / "output.txt").read_text()
    jobs = cluster.call("sacct", "--noheader", "--allocations", "--parsable2", "--format=WorkDir,State").splitlines()
    states = [state for directory, state in (job.split("|") for job in jobs) if directory == str(tmp_path / "out")]
    assert len(states) >= len(STEPS)
    assert set(states) == {"COMPLETED"}
    model = find_model("mine-500", tmp_path / "out" / "models")
    assert verify(model) == []

    ended = call([*train_command(tmp_path / "alone"), "--threads", "1"])
    assert ended.returncode == 0, ended.stderr
    alone = find_model("mine-500", tmp_path / "alone" / "models")
    assert model.classifier.sha256 == alone.classifier.sha256
