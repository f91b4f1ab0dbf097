"""A benchmark that is told to stop leaves no process behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="there is no /proc to find children in")


def embedding(bench: subprocess.Popen[bytes]) -> int:
    """Process that runs `virnucpro embed` for `bench`."""
    while bench.poll() is None:
        for children in Path("/proc", str(bench.pid), "task").glob("*/children"):
            for child in children.read_text().split():
                if b"\0embed\0" in Path("/proc", child, "cmdline").read_bytes():
                    return int(child)
        time.sleep(0.1)
    pytest.fail(f"ended with {bench.returncode} before there was a command to end")


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)],
    ids=["SIGTERM", "SIGINT", "SIGHUP"],
)
def test_its_command_ends_with_it(tmp_path: Path, number: signal.Signals, code: int) -> None:
    if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip("these tests run under nohup")
    options = ("--device", "cpu", "--encoder", "esm2-8m", "--chunk", "5000x200", "--folder", str(tmp_path))
    command = [sys.executable, "-m", "benchmarks.chunks", *options]
    bench = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    command_of_it = embedding(bench)
    try:
        bench.send_signal(number)
        bench.wait(timeout=300)
        assert not Path("/proc", str(command_of_it)).exists()
    finally:
        if Path("/proc", str(command_of_it)).exists():
            os.kill(command_of_it, signal.SIGKILL)
    assert bench.returncode == code
