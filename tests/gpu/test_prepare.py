"""What the first use of a GPU needs of the machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")]


def test_a_missing_compiler_is_named(tmp_path: Path) -> None:
    program = "import torch\nfrom virnucpro_kernels.ops.prepare import prepare\nprepare(torch.device('cuda'))"
    environment = {name: value for name, value in os.environ.items() if name != "CC"}
    environment |= {"PATH": str(tmp_path), "TRITON_CACHE_DIR": str(tmp_path / "kernels")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert "UsageError: Triton cannot launch kernels here" in done.stderr
    assert "needs a C compiler" in done.stderr
