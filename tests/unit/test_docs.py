"""The documentation names what there is."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.core import TyperGroup
from typer.main import get_command

from virnucpro_kernels import __version__, errors
from virnucpro_kernels.cli.main import app
from virnucpro_kernels.cli.old_flags import REPLACEMENTS

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *(ROOT / folder / "README.md" for folder in ("config", "benchmarks", ".test/data")),
    ]
)


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(line.lstrip("#").strip()) for line in page.read_text().splitlines() if re.match(r"#+ ", line)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_architecture_names_every_rule_and_room() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    graph = re.findall(r"```mermaid(.*?)```", text, re.DOTALL)[0]
    rules = [
        name
        for file in sorted((ROOT / "workflow" / "rules").glob("*.smk"))
        for name in re.findall(r"^(?:rule|checkpoint) (\w+):", file.read_text(), re.MULTILINE)
    ]
    assert rules
    assert set(rules) <= set(re.findall(r"\w+", graph))
    rooms = [path.parent.name for path in (ROOT / "virnucpro_kernels").glob("*/__init__.py")]
    assert rooms
    missing = [name for name in rooms if f"`{name}/`" not in text]
    assert not missing


def test_a_room_says_what_it_is_for_and_imports_nothing() -> None:
    rooms = sorted((ROOT / "virnucpro_kernels").glob("*/**/__init__.py"))
    assert rooms
    for room in rooms:
        content = ast.parse(room.read_text())
        assert ast.get_docstring(content), room
        assert len(content.body) == 1, room


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_modules_that_a_page_names_are_there(page: Path) -> None:
    rooms = "|".join(path.parent.name for path in (ROOT / "virnucpro_kernels").glob("*/__init__.py"))
    for module in re.findall(rf"`(?:virnucpro_kernels/)?((?:{rooms})/[\w/]+\.py)`", page.read_text()):
        assert (ROOT / "virnucpro_kernels" / module).is_file(), module


def test_usage_and_switching_name_commands_codes_and_old_options() -> None:
    usage, switching = ((ROOT / "docs" / name).read_text() for name in ("usage.md", "switching.md"))
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    for command in group.commands:
        assert f"virnucpro {command}" in usage or f"virnucpro {command}" in switching, command
    classes = [error for error in vars(errors).values() if isinstance(error, type)]
    exit_codes = {int(vars(error)["exit_code"]) for error in classes if "exit_code" in vars(error)}
    interrupted = 130
    codes = {0, interrupted, errors.EXIT_PARTIAL} | exit_codes
    for page in (usage, switching):
        table = page.split("## Exit codes")[1].split("\n## ")[0]
        assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == codes
    for option in REPLACEMENTS:
        assert f"`{option}`" in switching, option


def commands_on(page: Path) -> list[list[str]]:
    """Command lines of this package that a page tells its readers to type."""
    text = page.read_text().replace("\\\n", " ")
    blocks = "\n".join(re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    lines = re.findall(r"^ *(?:\.venv/bin/)?virnucpro (.*?)(?: #.*)?$", blocks, re.MULTILINE)
    if page.name != "switching.md":  # which names commands of the older tools too
        lines += re.findall(r"`virnucpro ([^`]*)`", text)
    return [line.split() for line in lines]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_on_a_page_have_the_options_that_it_gives_them(page: Path) -> None:
    for words in commands_on(page):
        command, rest = get_command(app), words
        while isinstance(command, TyperGroup) and rest and rest[0] in command.commands:
            command, rest = command.commands[rest[0]], rest[1:]
        assert not isinstance(command, TyperGroup) or not rest or rest[0].startswith("-"), words
        known = options_of(command) | {"--help", "-h"}
        own = rest[: rest.index("--")] if "--" in rest else rest  # what follows is Snakemake's
        given = {word.partition("=")[0] for word in own if re.match("--?[a-z]", word)}
        assert given <= known, words


def options_of(command: Any) -> set[str]:
    below = command.commands.values() if isinstance(command, TyperGroup) else ()
    own = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return own.union(*map(options_of, below))


def test_an_option_in_a_table_is_ours_or_said_to_be_anothers() -> None:
    known = options_of(get_command(app))
    for line in (ROOT / "docs" / "usage.md").read_text().splitlines():
        if line.startswith("|") and not re.search("Snakemake|sbatch", line):
            assert set(re.findall(r"(?<=`)--[a-z-]+", line)) <= known, line


def test_citation_and_changelog_are_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_page_of_keys_has_no_heading_of_the_first_level() -> None:
    """The workflow catalog shows it below one of its own."""
    assert not re.search("^# ", (ROOT / "config" / "README.md").read_text(), re.MULTILINE)
