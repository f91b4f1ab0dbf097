"""Help and version: short options too, and every command under a heading."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from virnucpro_kernels import __version__
from virnucpro_kernels.cli.main import app


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_lists_every_command_under_a_heading(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    app([option], standalone_mode=False)
    output = capsys.readouterr().out
    for command in get_command(app).commands:  # type: ignore[attr-defined]
        assert re.search(rf"^│ {command} ", output, re.MULTILINE), command
    assert "─ Commands ─" not in output
    assert "Exit codes" in output


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    app([option], standalone_mode=False)
    assert capsys.readouterr().out == f"virnucpro {__version__}\n"


def test_the_shell_completes_commands() -> None:
    environment = {"_VIRNUCPRO_COMPLETE": "complete_bash", "COMP_WORDS": "virnucpro pre", "COMP_CWORD": "1"}
    command = [Path(sys.executable).with_name("virnucpro")]
    ended = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert ended.stdout.split() == ["predict"]


def every_command(group: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands that run something, with the words that call them."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from every_command(command, (*above, name))
        else:
            yield (*above, name), command


COMMANDS = dict(every_command(get_command(app)))


def help_of(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> str:
    app([*words, "--help"], standalone_mode=False)
    return capsys.readouterr().out


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_of_a_command_has_an_example_that_it_accepts(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    found = re.search(r"^ *Example: (virnucpro .*?)\n *\n", help_of(words, capsys), re.DOTALL | re.MULTILINE)
    assert found
    program, *given = shlex.split(found[1])
    assert program == "virnucpro"
    assert tuple(given[: len(words)]) == words
    COMMANDS[words].make_context(" ".join(words), given[len(words) :])  # raises where it does not accept them


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_names_options_and_their_values_in_one_style(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    output = help_of(words, capsys)
    assert not re.search(r"--[a-z-]+…", output)  # the name of an option is whole at 80 columns
    assert "<bool>" not in output
    options = [parameter for parameter in COMMANDS[words].params if parameter.param_type_name == "option"]
    assert all(re.fullmatch("<.+>", option.metavar) for option in options if option.metavar)
    arguments = [parameter for parameter in COMMANDS[words].params if parameter.param_type_name == "argument"]
    assert all(argument.metavar and argument.metavar == argument.metavar.upper() for argument in arguments)


def test_options_for_developers_are_out_of_sight(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--attention" not in help_of(("embed",), capsys)
    assert "--rounds" not in help_of(("bench",), capsys)
