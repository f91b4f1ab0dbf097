"""What `virnucpro status` says of runs in every state; a run that is at work is looked at in `test_resume`."""

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.runs import MODEL, call, virnucpro_command, virnucpro_here
from virnucpro_kernels.pool.file_names import SCORE_SUFFIX


def contents(directory: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of every file of a run."""
    found = {path: path.stat() for path in directory.rglob("*")}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in found.items()}


def status(directory: Path) -> dict[str, Any]:
    ended = virnucpro_here("status", directory, "--json")
    assert ended.returncode == 0, ended.stderr
    read: dict[str, Any] = json.loads(ended.stdout)
    return read


def test_a_complete_run_is_told_and_left_alone(finished: Path) -> None:
    before = contents(finished)
    ended = virnucpro_here("status", finished)
    assert ended.returncode == 0, ended.stderr
    assert f"{finished}: complete, model {MODEL}, cpu, fp32" in ended.stdout
    assert "samples   3 of 3 complete\nchunks    4 of 4 scored, 4 embedded\n" in ended.stdout
    assert "jobs      0 running, 0 to embed waiting, 0 failed" in ended.stdout
    assert virnucpro_here("status", finished, "--watch").returncode == 0
    assert status(finished)["state"] == "complete"
    assert contents(finished) == before


def test_jobs_that_run_wait_and_failed_are_told_apart(copy_of_finished: Path) -> None:
    records = sorted(copy_of_finished.glob("work/*/*/*/*.embed.json"))
    assert len(records) == 4
    running, failed, silent, _ = records
    for path, state in ((running, "running"), (failed, "failed"), (silent, "running")):
        record = json.loads(path.read_text()) | {"state": state, "seconds": 10.0, "host": "gpu7"}
        record |= {"done": record["total"] // 2} | ({"error": "GpuMemoryError: too big"} if state == "failed" else {})
        path.write_text(json.dumps({name: value for name, value in record.items() if name != "checksum"}))
        for scores in path.parent.glob(f"*/{path.name.partition('.')[0]}{SCORE_SUFFIX}"):
            scores.unlink()
    an_hour_ago = time.time() - 3600
    os.utime(silent, (an_hour_ago, an_hour_ago))
    read = status(copy_of_finished)
    assert read["state"] == "running"
    assert read["waiting"] == 2
    (job,) = read["running"]
    assert (job["stage"], job["host"], job["unit"]) == ("embed", "gpu7", "first/00000")
    assert read["tokens_per_second"] == job["tokens_per_second"] > 0
    assert read["seconds_left"] > 0
    assert [job["error"] for job in read["failed"]] == ["GpuMemoryError: too big"]
    text = virnucpro_here("status", copy_of_finished).stdout
    assert "jobs      1 running, 2 to embed waiting, 1 failed" in text
    assert re.search(r"embed first/00000: \d\d %, 10 s, on gpu7, \d+ tokens/s", text)
    assert max(map(len, text.splitlines()[1:])) <= 80


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    ended = virnucpro_here("status", tmp_path)
    assert ended.returncode == 5
    assert "not the folder of a run" in ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to mount a folder anew")
def test_a_run_on_a_read_only_file_system_can_be_looked_at(finished: Path) -> None:
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
    here = ("unshare", "--mount", "bash", "-c", script, "_", finished)
    looked_at = call([*here, *virnucpro_command("status", finished)])
    if "unshare" in looked_at.stderr or "mount:" in looked_at.stderr:
        pytest.skip("this machine mounts nothing: " + looked_at.stderr)
    assert f"{finished}: complete" in looked_at.stdout, looked_at.stderr
    assert call([*here, *virnucpro_command("verify", finished)]).returncode == 0
    refused = call([*here, *virnucpro_command("predict", "--output-dir", finished, "--dry-run")])
    assert refused.returncode == 5
    assert "a start has to write there, with --dry-run as well; `virnucpro status`" in refused.stderr
