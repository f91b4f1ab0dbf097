"""What the benchmarks cannot do is refused by name, with what they can do, before anything is measured."""

import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from benchmarks import chunks, encoders, samples
from virnucpro_kernels.errors import UsageError


@pytest.mark.parametrize(
    ("app", "options", "message"),
    [
        (encoders.app, "--keep-fp16 x", "--keep-fp16 x: .* as in 0,35"),
        (encoders.app, "--keep-fp16 0,6", "--keep-fp16 0,6: esm2-8m has layers 0 to 5"),
        (encoders.app, "--keep-fp16 0,5 --preset 10", "--keep-fp16 0,5: goes with --precision fp8"),
        (
            encoders.app,
            "--encoder dnabert-s --accuracy 2 --preset 10",
            "--accuracy: .* ESM-2, .* --encoder; leave it out",
        ),
        (encoders.app, "--markdown /tmp", "/tmp: cannot be written: it is a folder"),
        (chunks.app, "--folder /dev/null --chunk 4x9", "--folder /dev/null: is a file"),
        (chunks.app, "--folder F --chunk 40", "--chunk 40: must be FRAMESxRESIDUES"),
        (chunks.app, "--folder F --chunk 4x9 --encoder dnabert-s", "--encoder dnabert-s: .*ESM-2"),
        (samples.app, "--folder F --reads 40 --gpus 2", "--gpus 2: leave it out on a CPU"),
        (samples.app, "--folder F --reads 40 --precision fp8", "fp8 needs an NVIDIA GPU .*, not cpu; choose fp32"),
    ],
)
def test_wrong_options_are_named(app: typer.Typer, options: str, message: str) -> None:
    result = CliRunner().invoke(app, ["--device", "cpu", *options.split()])
    assert isinstance(result.exception, UsageError), result.output
    assert result.exception.exit_code == 5
    assert re.search(message, str(result.exception)), result.exception
    assert not Path("F").exists()
