"""Libraries that read files from elsewhere are no older than the versions in which known holes are closed."""

import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
FLOORS = {
    "torch": "2.10",  # CVE-2025-32434 and CVE-2026-24747: code run in spite of weights_only
    "transformers": "5.3",  # CVE-2026-4372
}


@pytest.mark.parametrize("library", FLOORS)
def test_no_version_with_a_known_hole_can_be_installed(library: str) -> None:
    wanted = tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]
    [requirement] = [requirement for requirement in map(Requirement, wanted) if requirement.name == library]
    lower = [Version(clause.version) for clause in requirement.specifier if clause.operator == ">="]
    assert max(lower) >= Version(FLOORS[library])
    assert Version(version(library)) >= Version(FLOORS[library])
