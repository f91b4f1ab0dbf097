"""Every kernel compiles for every generation of GPUs that we support; none is needed for that."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from virnucpro_kernels.ops.jit import TRITON_INSTALLED

SCRIPT = Path(__file__).parents[2] / "helpers" / "compile_kernels.py"


pytestmark = pytest.mark.skipif(not TRITON_INSTALLED, reason="there is no Triton for this platform")


def compile_for(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRITON_")}
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, env=inherited | environment, capture_output=True, text=True)


@pytest.mark.parametrize("capability", [80, 89, 90, 100, 120])
def test_kernels_compile_and_are_kept_where_asked(capability: int, tmp_path: Path) -> None:
    done = compile_for(capability, TRITON_CACHE_DIR=str(tmp_path / "kernels"), HOME="/dev/null/home")
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "kernels").rglob("*.cubin"))


def test_where_the_home_directory_cannot_be_written_kernels_are_kept_with_temporary_files(tmp_path: Path) -> None:
    done = compile_for(80, "layernorm_kernel", HOME="/dev/null/home", TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.iterdir()
    assert folder.name == f"virnucpro-kernels-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert list(folder.rglob("*.cubin"))


def test_a_folder_that_others_can_write_gets_no_kernels(tmp_path: Path) -> None:
    folder = tmp_path / f"virnucpro-kernels-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    done = compile_for(80, "layernorm_kernel", HOME="/dev/null/home", TMPDIR=str(tmp_path))
    assert "not a folder of yours alone; have TRITON_CACHE_DIR name a folder" in done.stderr
    assert not list(folder.iterdir())


def test_a_cache_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    done = compile_for(80, "layernorm_kernel", TRITON_CACHE_DIR="/dev/null/kernels", TMPDIR=str(tmp_path))
    assert "TRITON_CACHE_DIR=/dev/null/kernels: compiled kernels cannot be kept there" in done.stderr
    assert not list(tmp_path.iterdir())
