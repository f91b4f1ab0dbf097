"""How often Slurm is asked for waiting jobs, and for those of which start; a real Slurm answers in `tests/slurm`."""

import os
from pathlib import Path

import pytest

from tests.helpers.clock import Clock
from virnucpro_kernels.run.slurm_queue import SlurmQueue, describe_waiting


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that notes each call of a program `squeue`, whose answer is in `answer`."""
    program = tmp_path / "bin" / "squeue"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\ncat {tmp_path}/answer\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    (tmp_path / "answer").write_text("Priority\nNone\nPartitionTimeLimit\nPriority\n")
    (tmp_path / "asked").touch()
    return tmp_path / "asked"


def write_log(directory: Path, date: str, text: str) -> None:
    logs = directory / "run" / ".snakemake" / "log"
    logs.mkdir(parents=True, exist_ok=True)
    (logs / f"{date}.snakemake.log").write_text(text)


def test_the_last_start_is_asked_for_once_a_minute(tmp_path: Path, asked: Path) -> None:
    write_log(
        tmp_path, "2026-01-02T000000.1", "Building DAG of jobs...\nSLURM run ID: lab_4f\nUsing shell: /bin/bash\n"
    )
    write_log(tmp_path, "2026-01-01T000000.1", "SLURM run ID: earlier\n")
    clock = Clock()
    queue = SlurmQueue(tmp_path / "run", clock)
    waiting = queue.waiting()
    assert waiting == {"Priority": 2, "PartitionTimeLimit": 1}
    assert describe_waiting(waiting) == "3 jobs wait in Slurm's queue: Priority (2); PartitionTimeLimit (1)"
    (tmp_path / "answer").write_text("")
    clock.now = 59.0
    assert queue.waiting() == waiting
    clock.now = 60.0
    assert queue.waiting() == {}
    calls = asked.read_text().splitlines()
    assert len(calls) == 2
    assert all("--name=lab_4f --states=PENDING" in call for call in calls)


@pytest.mark.parametrize("log", [None, "Building DAG of jobs...\nUsing shell: /bin/bash\n"])
def test_slurm_is_not_asked_for_a_run_that_does_not_use_it(tmp_path: Path, asked: Path, log: str | None) -> None:
    if log is not None:
        write_log(tmp_path, "2026-01-02T000000.1", log)
    assert SlurmQueue(tmp_path / "run").waiting() == {}
    assert asked.read_text() == ""


def test_a_machine_without_slurm_knows_of_no_waiting_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_log(tmp_path, "2026-01-02T000000.1", "SLURM run ID: lab_4f\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert SlurmQueue(tmp_path / "run").waiting() == {}
