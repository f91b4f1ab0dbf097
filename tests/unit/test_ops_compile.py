"""Every kernel compiles for every generation of GPUs that we support; none is needed for that."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from virnucpro_kernels.ops.jit import TRITON_INSTALLED

SCRIPT = Path(__file__).parents[1] / "compile_kernels.py"


@pytest.mark.skipif(not TRITON_INSTALLED, reason="there is no Triton for this platform")
@pytest.mark.parametrize("capability", [80, 89, 90])
def test_kernels_compile(capability: int, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    command = [sys.executable, str(SCRIPT), str(capability)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
