"""`virnucpro --help` starts quickly, and shows the defaults of the configuration."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from virnucpro_kernels.cli.main import app
from virnucpro_kernels.run.config import default

#: Packages that take long to import, or that only a run needs.
SLOW = ("torch", "pandas", "numpy", "pyarrow", "yaml", "jsonschema", "snakemake")


def test_the_command_line_imports_nothing_slow() -> None:
    program = "import sys, virnucpro_kernels.cli.main; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not set(SLOW) & set(ended.stdout.split())


def test_help_of_predict_says_that_settings_stay() -> None:
    shown = CliRunner().invoke(app, ["predict", "--help"], env={"COLUMNS": "250"}).output
    assert "stays in the folder's configuration" in " ".join(shown.replace("│", " ").split())


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        ("split", ["min_length", "duplicate_ids", "chunk_tokens", "min_chunks"]),
        ("collect", ["original_files", "preset", "min_scored_windows", "viral_threshold", "tier_medium", "tier_high"]),
        ("embed", ["device", "precision", "embedding_dtype"]),
    ],
)
def test_help_shows_the_defaults_of_the_schema(command: str, keys: list[str]) -> None:
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
    for key in keys:
        option = shown.split(f"--{key.replace('_', '-')} ")[1].split(" --")[0]
        assert f"[default: {default(key)}]" in option, shown
