"""Help and version: short options too, and every command under a heading."""

import re

import pytest
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
