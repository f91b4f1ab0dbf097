"""What `virnucpro bench` cannot do is refused by name, with what it can do, before anything is measured."""

import re
from pathlib import Path

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
        ("--device tpu", "--device tpu: choose from auto, cpu, cuda"),
        ("--workload abc", "--workload abc: .* as in 168 or 40-350"),
        ("--workload 350-40", "--workload 350-40: "),
        ("--workload 40-", "--workload 40-: "),
        ("--workload 2", "--workload 2: .* 3 or more"),
        ("--keep-fp16 x", "--keep-fp16 x: .* as in 0,35"),
        ("--keep-fp16 0,6", "--keep-fp16 0,6: esm2-8m has layers 0 to 5"),
        ("--encoder esm3", "--encoder esm3: .*esm2-3b"),
        ("--encoder dnabert-s --precision fp8", "--precision fp8: dnabert-s .* fp32, bf16, fp16"),
        (
            "--preset 10 --precision fp8",
            "precision fp8 needs an NVIDIA GPU .*, not cpu; choose fp32",
        ),
        (
            "--preset 10 --precision fp32,fp8 --encoder dnabert-s --encoder esm2-8m",
            "precision fp8 needs an NVIDIA GPU",
        ),
        ("--precision int8", "--precision int8: .* fp32, bf16, fp16, fp8"),
        ("--precision fp16,bf16", "--precision: .* bf16"),
        ("--preset 11", "--preset 11: choose from 10, 100, 1000, 10000"),
        ("--gpus 1", "--gpus: goes with --sample"),
        ("--threads 2", "--threads: goes with --chunk"),
        ("--folder F --preset 10", "--folder: goes with --chunk and --sample"),
        ("--keep-fp16 0,5 --preset 10", "--keep-fp16 0,5: goes with --precision fp8"),
        ("--encoder dnabert-s --accuracy 2 --preset 10", "--accuracy: .* ESM-2, .* --encoder; leave it out"),
        ("--folder F --sample 40 --seconds 2", "--seconds: .* --chunk .*, not for --sample; leave it out"),
        ("--folder F --chunk 4x9 --rounds 4", "--rounds: .*, not for --chunk and --sample; leave it out"),
        ("--folder F --chunk 4x9 --no-layers", "--no-layers: .*, not for --chunk and --sample; leave it out"),
        ("--folder F --sample 40 --layers", "--layers: .* leave it out"),
        ("--folder F --sample 40 --no-reference", "--no-reference: .* leave it out"),
        ("--folder F --chunk 4x9 --reference", "--reference: .* leave it out"),
        ("--folder F --chunk 4x9 --sweep-budget", "--sweep-budget: .* leave it out"),
        ("--folder F --sample 40 --token-budget 512", "--token-budget: .* leave it out"),
        ("--json no/such.json", "no/such.json: cannot be written: there is no such folder"),
        ("--markdown /tmp", "/tmp: cannot be written: it is a folder"),
        ("--folder /dev/null --chunk 4x9", "--folder /dev/null: is a file"),
        ("--chunk 40x20", "--folder"),
        ("--sample 40", "--folder"),
        ("--folder F --chunk 40", "--chunk 40: must be FRAMESxRESIDUES"),
        ("--folder F --sample 40 --gpus 2", "--gpus 2: leave it out on a CPU"),
        ("--folder F --sample 40 --precision fp8", "precision fp8 needs an NVIDIA GPU .*, not cpu; choose fp32"),
        ("--folder F --chunk 4x9 --encoder dnabert-s", "--encoder dnabert-s: .*ESM-2"),
    ],
)
def test_wrong_options_are_named(options: str, message: str) -> None:
    said = refusal("--device", "cpu", *options.split())
    assert re.search(message, said), said
    assert not Path("F").exists()


def test_a_gpu_that_is_not_there_is_no_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert re.match("--device cuda: .*; choose auto or cpu", refusal("--device", "cuda", "--preset", "10"))
