"""The conda environments of the rules: the versions that were tested, and all that the stages import."""

import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from tests.helpers.conda_names import PYPI_NAMES
from tests.helpers.runs import MODEL, ROOT, call
from virnucpro_kernels.run.run import CHUNK_STAGES

ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))


def pins(environment: Path) -> dict[str, str]:
    """Package and version of each dependency, under its name on PyPI."""
    dependencies = yaml.safe_load(environment.read_text())["dependencies"]
    pairs = [re.fullmatch(r"([\w.-]+) =([\w.]+)", dependency) for dependency in dependencies]
    return {PYPI_NAMES.get(pair[1], pair[1]): pair[2] for pair in pairs if pair}


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {name.lower().replace("_", "-"): version for name, version in (line.split("==") for line in lines)}


def needed_by(name: str) -> set[str]:
    """The distributions that come with one, itself included."""
    found, waiting = set[str](), [name]
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        try:
            requirements = [Requirement(text) for text in metadata.requires(name) or []]
        except metadata.PackageNotFoundError:
            continue
        waiting += [r.name for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda path: path.stem)
def test_environments_pin_what_the_constraints_pin(environment: Path) -> None:
    tested = constraints()
    found = pins(environment)
    assert found.pop("python") == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert len(found) == len(yaml.safe_load(environment.read_text())["dependencies"]) - 1
    assert found == {name: tested[name] for name in found}


def test_constraints_hold_every_dependency_that_is_installed() -> None:
    tested = constraints()
    project = {name for name in needed_by("virnucpro") if name != "virnucpro"}
    installed = {name for name in project if _installed(name)}
    assert installed
    assert {name: tested.get(name) for name in installed} == {
        name: metadata.version(name).partition("+")[0] for name in installed
    }


def _installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def environment_of(stage: str) -> Path:
    """The environment that the rule of a stage names."""
    for rules in (ROOT / "workflow" / "rules").glob("*.smk"):
        body = re.search(
            rf"^(?:rule|checkpoint) {stage}:\n(.*?)(?=^\S|\Z)", rules.read_text(), re.MULTILINE | re.DOTALL
        )
        if body:
            name = re.search(r'conda:\s+"([^"]+)"', body[1])
            assert name, f"rule {stage} has no environment"
            return (rules.parent / name[1]).resolve()
    raise AssertionError(f"no rule {stage}")


@pytest.fixture(scope="session")
def arguments(finished: Path) -> dict[str, list[str]]:
    """Arguments that make each stage do its work, output going to a folder `out`."""
    pool = finished / "work" / "500-original" / "first"
    (features,) = pool.glob("*/00000.features.h5")
    (scores,) = pool.glob("*/*/00000.parquet")
    inputs = finished / "data" / "one.fa"
    model, on_cpu = f"--model {MODEL}", f"--model {MODEL} --device cpu"
    tables = f"--contigs {pool}/contigs.parquet --windows {pool}/windows.parquet --manifest {pool}/chunks.tsv"
    return {
        stage: line.split()
        for stage, line in {
            "split": f"one={inputs} --window-length 500 --output-dir out",
            "embed": f"{pool}/chunks.tsv --chunk 00000 {on_cpu} --nucleotide out/n.h5 --protein out/p.h5",
            "merge": "out/n.h5 out/p.h5 --output out/00000.features.h5",
            "classify": f"{features} --model {MODEL} --output out/00000.parquet",
            "collect": f"{tables} --scores-dir {scores.parent} --sample one --inputs {inputs} {model} --output-dir out",
            "report": f"{finished} one two --output out/report.html --figures out/figures",
            "sweep": f"{finished} one two --settings results --table out/sweep.tsv --figure out/sweep.svg",
        }.items()
    }


REPORT = """
import ast, atexit, inspect, sys
from importlib import metadata

def note():
    ours = [module for name, module in list(sys.modules.items()) if name.startswith("virnucpro_kernels")]
    nodes = [node for module in ours for node in ast.walk(ast.parse(inspect.getsource(module)))]
    names = {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module.split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
    owners = metadata.packages_distributions()
    with open("owners", "w") as file:
        print(*{owner for name in names & sys.modules.keys() for owner in owners.get(name, ())}, file=file)

atexit.register(note)
from virnucpro_kernels.cli.main import main
main()
"""


def test_environments_hold_all_that_the_stages_import(arguments: dict[str, list[str]], tmp_path: Path) -> None:
    """Each stage is run for real, and what this package has imported must come with the stage's environment."""
    (tmp_path / "report.py").write_text(REPORT)
    for stage in ("split", *CHUNK_STAGES, "collect", "sweep", "report"):
        ended = call([sys.executable, "-P", tmp_path / "report.py", stage, *arguments[stage]], tmp_path)
        assert ended.returncode == 0, ended.stderr
        imported = {name.lower().replace("_", "-") for name in (tmp_path / "owners").read_text().split()}
        provided = set().union(*(needed_by(name) for name in pins(environment_of(stage))))
        assert {"typer", "pandas" if stage == "sweep" else "numpy"} < imported
        assert imported - provided - {"virnucpro"} == set(), f"{stage} imports what its environment lacks"
