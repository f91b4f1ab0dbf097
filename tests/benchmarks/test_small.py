"""`benchmarks.small` measures the encoders of a model on a chunk beside their products."""

import re
import sys
from pathlib import Path

import pytest

from benchmarks.inputs import random_chunk
from tests.helpers.runs import ROOT, call


@pytest.mark.parametrize("frames", [1, 40])
def test_both_encoders_and_their_sum_are_told(tmp_path: Path, frames: int) -> None:
    manifest = random_chunk(tmp_path / "pool", frames, 30)
    command = (sys.executable, "-m", "benchmarks.small", manifest, "builtin-500")
    ended = call(command, ROOT, PYTHONPATH=str(ROOT))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = re.findall(r"^\| (\w+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", ended.stdout, re.MULTILINE)
    assert [name for name, *_ in rows] == ["nucleotide", "protein", "both"]
    seconds, products = ([float(row[column]) for row in rows] for column in (1, 2))
    for values in (seconds, products):
        assert min(values) > 0
        assert values[2] == pytest.approx(values[0] + values[1], abs=0.02)
