"""Options and fixtures shared by all tests."""

import os
from pathlib import Path

# Before torch is imported: threads of several processes on few cores mostly wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Without a GPU the kernels are tested in Triton's interpreter, which has to be asked for before they are defined. The
# package itself reads no such variable, and never runs them there of its own accord.
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says more about the machine's load than about the code.
settings.register_profile("untimed", settings(deadline=None, suppress_health_check=[HealthCheck.too_slow]))
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("virnucpro", "folders that are not part of the repository")
    group.addoption("--golden", type=Path, help="inputs and outputs of the original tool")
    group.addoption("--genomes", type=Path, help="real genomes split by relatedness")
    group.addoption("--tokenizer", type=Path, help="the published DNABERT-S tokenizer")
    chaos = "chaos tests to run: a number of seeds, or a range as in 7-9"
    parser.getgroup("virnucpro").addoption("--seeds", default="10", help=chaos)


def _folder(request: pytest.FixtureRequest, option: str) -> Path:
    folder = request.config.getoption(option)
    if folder is None:
        pytest.skip(f"needs {option} DIR")
    if not folder.is_dir():
        raise pytest.UsageError(f"{option} {folder} is not a folder")
    return folder.resolve()


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest) -> Path:
    """Folder with inputs and outputs of the original tool."""
    return _folder(request, "--golden")


@pytest.fixture(scope="session")
def genomes(request: pytest.FixtureRequest) -> Path:
    """Folder with real genomes, split by relatedness."""
    return _folder(request, "--genomes")


@pytest.fixture(scope="session")
def dnabert_tokenizer(request: pytest.FixtureRequest) -> Path:
    """Folder with the published DNABERT-S tokenizer."""
    return _folder(request, "--tokenizer")
