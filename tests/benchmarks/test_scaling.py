"""`benchmarks.scaling` runs a sample several times, keeps each run, and says what it took."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.scaling import find_runs
from benchmarks.scaling_table import to_markdown
from benchmarks.watch import energy, idle_fraction
from tests.helpers.runs import ROOT, call
from virnucpro_kernels.errors import UsageError


def test_a_run_is_measured_once_and_kept(tmp_path: Path) -> None:
    work, out = tmp_path / "work", tmp_path / "out"
    options = ("--device", "cpu", "--encoder", "esm2-8m", "--precision", "fp32", "--reads", "60", "--chunks", "2")
    command = (sys.executable, "-m", "benchmarks.scaling", *options, "--folder", work, "--out", out, "--run", "0:1")
    ended = call(command, ROOT, PYTHONPATH=str(ROOT))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (file,) = out.glob("*.json")
    run = json.loads(file.read_text())
    assert (run["gpus"], run["number"], run["cold"], run["subject"]["reads"]) == (0, 1, True, 60)
    time = run["timeline"]
    assert [job["gpu"] for job in time["jobs"]] == ["cpu", "cpu"]
    for job in time["jobs"]:
        assert 0 < job["start"] < job["first_batch"] <= job["end"] < job["complete"] < time["seconds"]
        assert job["end"] - job["start"] < job["process_seconds"]
        assert job["load_seconds"] > 0
    assert time["split_start"] < time["ends"]["split"] < time["jobs"][0]["start"]
    stages = [time["ends"][stage] for stage in ("split", "embed", "merge", "classify", "collect")]
    assert stages == sorted(stages)
    assert stages[-1] < time["seconds"]
    assert len(run["readings"]["cached"]) == len(run["readings"]["time"]) > time["seconds"]
    (table,) = out.glob("*.md")
    assert "| 0:1 | disk | 2 | " in table.read_text()

    shutil.rmtree(work)
    before = table.read_text()
    ended = call(command, ROOT, PYTHONPATH=str(ROOT))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert not work.exists(), "a run that is kept was run again"
    assert table.read_text() == before


def job(gpu: str, start: float, first_batch: float, end: float) -> dict[str, Any]:
    more = {"process_seconds": end - start + 1, "cpu_seconds": 12.0, "read_seconds": 0.5, "load_seconds": 2.0}
    times = {"start": start, "first_batch": first_batch, "end": end, "complete": end}
    return {"chunk": "00000", "gpu": gpu, "tokens": 1000, **times, **more}


def run(gpus: int, jobs: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """A run that began at second 1000; its GPUs work from their first batch to the end of each job, at 500 W."""
    times = [0.5 * tick for tick in range(int(2 * seconds))]
    readings: dict[str, list[float]] = {"time": [1000 + time for time in times]}
    readings |= {"cached": [1e9 + time for time in times], "used": [2e9 for _ in times]}
    for gpu in {job["gpu"] for job in jobs}:
        own = [job for job in jobs if job["gpu"] == gpu]
        working = [any(job["first_batch"] <= time < job["end"] for job in own) for time in times]
        readings[f"{gpu} utilisation"] = [100.0 * works for works in working]
        readings[f"{gpu} joules"] = [500 * time for time in times]
    end = max(job["end"] for job in jobs)
    ends = {"split": 8.0, "embed": end, "merge": end + 2, "classify": end + 4, "collect": end + 6}
    worked = {"split": 2.0, "merge": 1.0, "classify": 1.0, "collect": 1.0}
    timeline = {"seconds": seconds, "split_start": 6.0, "split_seconds": 2.0, "ends": ends, "worked": worked}
    subject = {"reads": 100, "bases": 0, "chunks": 4, "encoder": "esm2-3b", "precision": "fp16"}
    of_run = {"subject": subject, "gpus": gpus, "number": 1, "cold": True, "machine": {"device": "a GPU"}}
    return {**of_run, "began": 1000.0, "timeline": {**timeline, "jobs": jobs}, "readings": readings}


def test_the_tables_say_gain_idle_time_and_tail() -> None:
    one = run(1, [job("GPU-a", 10.0, 12.0, 30.0), job("GPU-a", 31.0, 33.0, 51.0)], 60.0)
    two = run(2, [job("GPU-a", 10.0, 12.0, 30.0), job("GPU-b", 10.5, 14.5, 30.5)], 40.0)
    lines = to_markdown([two, one]).splitlines()
    assert any(line.startswith("| 1:1 | disk | 2 | 41.0 | 1.00 | 60.0 | 1.00 | 20.5 | 1.0 to 1.0 | ") for line in lines)
    assert any(line.startswith("| 2:1 | disk | 2 | 20.5 | 2.00 | 40.0 | 1.50 | 20.5 | ") for line in lines)
    # The only GPU: 2 s of start and 1 s between the jobs, of 21 s before the last chunk; then 2 s more.
    (row,) = (line for line in lines if line.startswith("| 1:1 | disk | GPU-a"))
    assert "| 2 | 56 | 21.0 | 0.0 | 1.0 | " in row
    assert row.endswith("| 20.5 |")
    (first,) = (line for line in lines if line.startswith("| 2:1 | disk | GPU-a"))
    assert "| 1 | 56 | 0.0 | 0.5 | 0.0 |  | " in first, "before the last chunk there are too few readings"


def test_idle_time_and_energy_are_those_of_a_stretch() -> None:
    readings = [{"time": t, "G utilisation": 100.0 if t < 30 else 40.0, "G joules": 10.0 * t} for t in range(50)]
    assert idle_fraction(readings, "G", 0, 29) == 0
    assert idle_fraction(readings, "G", 20, 39) == pytest.approx(0.3)
    assert energy(readings, "G", 10, 30) == 200
    assert idle_fraction(readings, "G", 0, 5) is None, "a few readings say nothing"
    assert energy(readings, "H", 0, 50) is None, "a GPU that has no such sensor"


def test_runs_are_chosen_by_number_of_gpus() -> None:
    assert find_runs([], 4) == [(4, 1), (4, 2), (2, 1), (2, 2), (1, 1), (1, 2)]
    assert find_runs(["2:1", "4:3"], 4) == [(2, 1), (4, 3)]
    assert find_runs([], 0) == [(0, 1), (0, 2)]
    for text, there, message in (("4", 4, "GPUS:NUMBER"), ("8:1", 4, "from 1 to 4"), ("1:1", 0, "from 0 to 0")):
        with pytest.raises(UsageError, match=message):
            find_runs([text], there)
