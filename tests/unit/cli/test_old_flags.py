"""Users of the older tools are told what has become of their options."""

import subprocess
import sys
from pathlib import Path

import pytest

from virnucpro_kernels.cli.old_flags import REPLACEMENTS, refuse_old_arguments, refuse_old_flags
from virnucpro_kernels.errors import UsageError

#: `predict --help` of version 2.0 of the Broad Institute, less the options that mean the same here.
# fmt: off
BROAD = [
    "--model-type", "-m", "--model-path", "-p", "--expected-length", "-e", "-d", "--batch-size", "-b",
    "--num-workers", "-w", "--keep-intermediate", "-k", "--resume", "-f", "--dnabert-batch-size", "--parallel",
    "--v1-fallback", "--v1-attention", "--esm-batch-size", "--merge-threads", "--skip-checkpoint-validation",
    "--force-resume", "--dataloader-workers", "--pin-memory", "--expandable-segments", "--cache-clear-interval",
    "--cuda-streams", "--no-cuda-streams", "--persistent-models", "--no-persistent-models", "-t", "-v",
]
# fmt: on


def test_every_option_of_the_older_tools_has_a_replacement() -> None:
    assert sorted(REPLACEMENTS) == sorted(BROAD)


@pytest.mark.parametrize("flag", BROAD)
def test_an_old_option_is_refused_with_its_replacement(flag: str) -> None:
    with pytest.raises(UsageError, match=f"^{flag} of the older tools is (now|gone|the default)"):
        refuse_old_flags(["reads.fa", "--threads", "2", f"{flag}=7" if flag.startswith("--") else flag])


def test_what_follows_a_double_dash_is_a_file() -> None:
    refuse_old_flags(["--threads", "2", "--", "--parallel"])


def test_the_originals_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="500 is no file; the window length is part of the model"):
        refuse_old_arguments([Path("reads.fa"), Path("500")])
    with pytest.raises(UsageError, match="weights import"):
        refuse_old_arguments([Path("reads.fa"), Path("500_model.pth")])
    refuse_old_arguments([tmp_path])


def test_the_command_exits_5_and_names_the_replacement() -> None:
    command = [sys.executable, "-m", "virnucpro_kernels", "predict", "reads.fa", "--output-dir", "x", "--parallel"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 5
    assert ended.stderr == (
        "error: --parallel of the older tools is the default: all visible GPUs are used; --gpus says otherwise\n"
    )
