"""The conda recipe: what the package says of itself, and all that Bioconda's linter wants of a recipe for Python."""

import re
import tomllib
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.helpers.conda_names import PYPI_NAMES
from virnucpro_kernels import __version__

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "conda" / "virnucpro" / "meta.yaml"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def recipe() -> Any:
    """The recipe as conda-build reads it."""
    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(RECIPE.read_text())
    return yaml.safe_load(template.render(PYTHON="python", pin_subpackage=lambda name, **_: name))


def wanted(requirements: list[str]) -> dict[str, SpecifierSet]:
    """Versions by name on PyPI."""
    split = [requirement.partition(" ")[::2] for requirement in requirements]
    return {PYPI_NAMES.get(name, name): SpecifierSet(versions) for name, versions in split}


def test_the_recipe_wants_what_the_package_wants(recipe: Any) -> None:
    needed = {requirement.name: requirement.specifier for requirement in map(Requirement, PROJECT["dependencies"])}
    needed["python"] = SpecifierSet(PROJECT["requires-python"])
    assert wanted(recipe["requirements"]["run"]) == needed
    [backend] = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    host = wanted(recipe["requirements"]["host"])
    assert host.pop("pip") == SpecifierSet()
    assert host == {"hatchling": Requirement(backend).specifier, "python": needed["python"]}


def test_the_recipe_is_of_this_package(recipe: Any) -> None:
    assert recipe["package"] == {"name": PROJECT["name"], "version": __version__}
    assert recipe["build"]["entry_points"] == [f"{name} = {place}" for name, place in PROJECT["scripts"].items()]
    assert (RECIPE.parent / recipe["source"]["path"]).resolve() == ROOT
    assert recipe["about"]["license"] == PROJECT["license"]
    assert recipe["about"]["license_file"] in PROJECT["license-files"]
    assert recipe["about"]["home"] == PROJECT["urls"]["Homepage"]


def test_the_recipe_has_what_bioconda_asks_for(recipe: Any) -> None:
    assert RECIPE.parent.name == recipe["package"]["name"]
    assert (recipe["build"]["number"], recipe["build"]["noarch"]) == (0, "python")
    assert recipe["build"]["run_exports"] == ["virnucpro"]
    assert "--no-deps --no-build-isolation --no-cache-dir" in recipe["build"]["script"]
    assert recipe["test"]["commands"]
    assert recipe["about"]["summary"]
    assert not re.search(r"# *\[", RECIPE.read_text()), "a package for every platform has no selectors"
