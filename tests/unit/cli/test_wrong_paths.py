"""Paths that are of another kind than they should be end in one sentence and exit code 5, whatever the command."""

import errno
import os
import sys
from pathlib import Path

import pytest
import typer

from tests.helpers.runs import virnucpro_here
from virnucpro_kernels.cli.main import run_app
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.run.profile import find_profile


@pytest.mark.parametrize(
    "command",
    [
        "split x.fa --window-length 60 --output-dir x.fa",
        "split x.fa --window-length 60 --output-dir x.fa/y",
        "init x.fa x.fa",
        "frames x.fa --window-length 60 --nucleotide x.fa/n --protein p",
        "predict x.fa --log-file . --output-dir out --model builtin-500 --device cpu",
        "predict --samples . --output-dir out",
        "predict x.fa --config . --output-dir out",
        "predict x.fa --profile broken --output-dir out",
        f"predict {'ACGT' * 100} --output-dir out",
        "embed . --chunk 00000 --model builtin-500 --nucleotide n --protein p --device cpu",
        "frames . --window-length 60 --nucleotide n --protein p",
        "frames x.fa --window-length 60 --nucleotide broken --protein p",
        f"frames x.fa --window-length 60 --nucleotide {'n' * 300} --protein p",
    ],
)
def test_one_sentence_and_exit_code_5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    (tmp_path / "x.fa").write_text(">a\nACGT\n")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.yaml").write_text("a: [\n")
    monkeypatch.chdir(tmp_path)
    run = virnucpro_here(*command.split())
    assert run.returncode == 5, run.stderr
    last = run.stderr[run.stderr.index("error: ") :]
    assert "Traceback" not in run.stderr
    assert last.count("error: ") == 1
    assert f".{os.getpid()}." not in last  # the name of a temporary file, which the user knows nothing of
    assert not (tmp_path / "out").exists()  # what could not be started


def test_an_empty_argument_is_not_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.fa").write_text(">a\nACGT\n")
    monkeypatch.chdir(tmp_path)
    run = virnucpro_here("predict", "x.fa", "--output-dir", "")
    assert run.returncode == 5
    assert run.stderr == "error: an argument is empty; perhaps a variable of the shell is not set\n"
    assert [path.name for path in tmp_path.iterdir()] == ["x.fa"]


def _fails_with(error: Exception) -> typer.Typer:
    app = typer.Typer()

    @app.command()
    def command() -> None:
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), 5, "a/b cannot be used: Permission denied"),
        (OSError(errno.EROFS, "Read-only file system", "a/b"), 5, "a/b cannot be used: Read-only file system"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "No space left on device"),
        (OSError("odd"), 1, "odd"),
        (
            UnicodeEncodeError("utf-8", os.fsdecode(b"\xe9"), 0, 1, "surrogates not allowed"),
            5,
            "'\\udce9' is not UTF-8",
        ),
    ],
)
def test_errors_of_the_system(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, message: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["virnucpro"])
    with pytest.raises(SystemExit) as ended:
        run_app(_fails_with(error))
    assert ended.value.code == code
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_a_profile_that_is_no_yaml(tmp_path: Path) -> None:
    for content in (b"a: [\n", b"\xff\n"):
        (tmp_path / "config.yaml").write_bytes(content)
        with pytest.raises(UsageError, match="not readable as YAML"):
            find_profile(str(tmp_path))
