"""What `virnucpro bench` cannot do is refused by name, with what it can do, before anything is measured."""

import re

import pytest
from typer.testing import CliRunner

from virnucpro_kernels.cli.main import app
from virnucpro_kernels.errors import UsageError


def refusal(*options: str) -> str:
    result = CliRunner().invoke(app, ["bench", *options])
    assert isinstance(result.exception, UsageError), result.output
    assert result.exception.exit_code == 5
    return str(result.exception)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--device tpu", "device 'tpu': choose from auto, cpu, cuda"),
        ("--workload abc", "--workload abc: .* as in 168 or 40-350"),
        ("--workload 350-40", "--workload 350-40: "),
        ("--workload 40-", "--workload 40-: "),
        ("--workload 2", "--workload 2: .* 3 or more"),
        ("--encoder esm3", "--encoder esm3: .*esm2-3b"),
        ("--encoder dnabert-s --precision fp8", "--precision fp8: dnabert-s .* fp32, fp16, bf16$"),
        (
            "--preset 10 --precision fp8",
            "precision fp8 needs an NVIDIA GPU .*, not cpu; choose fp32",
        ),
        (
            "--preset 10 --precision fp32,fp8 --encoder dnabert-s --encoder esm2-8m",
            "precision fp8 needs an NVIDIA GPU",
        ),
        ("--preset 10 --precision fp8-ff", "precision fp8-ff needs an NVIDIA GPU"),
        ("--precision int8", "--precision int8: .* fp32, fp16, bf16, fp8-ff, fp8"),
        ("--preset 11", "--preset 11: choose from 10, 100, 1000, 10000"),
        ("--json no/such.json", "no/such.json: cannot be written: there is no such folder"),
    ],
)
def test_wrong_options_are_named(options: str, message: str) -> None:
    said = refusal("--device", "cpu", *options.split())
    assert re.search(message, said), said


def test_a_gpu_that_is_not_there_is_no_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert re.match("--device cuda: .*; choose auto or cpu", refusal("--device", "cuda", "--preset", "10"))
