"""Help and version: short options too, and every command under a heading."""

import os
import re
import subprocess
import sys
from pathlib import Path

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


def test_the_shell_completes_commands() -> None:
    environment = {"_VIRNUCPRO_COMPLETE": "complete_bash", "COMP_WORDS": "virnucpro pre", "COMP_CWORD": "1"}
    command = [Path(sys.executable).with_name("virnucpro")]
    ended = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert ended.stdout.split() == ["predict"]
