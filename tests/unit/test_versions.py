"""Libraries are no older than the versions in which known holes and faults are closed."""

import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
FLOORS = {
    "torch": "2.10",  # CVE-2025-32434 and CVE-2026-24747: code run in spite of weights_only
    "transformers": "5.3",  # CVE-2026-4372
    "snakemake": "9.21.1",  # run times set at the start were read as seconds, and checkpoints ran again
    "snakemake-executor-plugin-slurm": "2.7.1",  # hung inside a job; asked for GPUs by flags that Slurm refuses
}


@pytest.mark.parametrize("library", FLOORS)
def test_no_version_with_a_known_fault_can_be_installed(library: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["slurm"]
    [requirement] = [requirement for requirement in map(Requirement, wanted) if requirement.name == library]
    lower = [Version(clause.version) for clause in requirement.specifier if clause.operator == ">="]
    assert max(lower) >= Version(FLOORS[library])
    assert Version(version(library)) >= Version(FLOORS[library])


def test_the_workflow_refuses_an_older_snakemake() -> None:
    assert f'min_version("{FLOORS["snakemake"]}")' in (ROOT / "workflow" / "Snakefile").read_text()
