"""The diagnosis of an installation: what it names, and what it calls an error."""

import json
import shutil
from pathlib import Path

import pytest

from virnucpro_kernels import __version__
from virnucpro_kernels.cli.main import app
from virnucpro_kernels.weights.registry import BUILTIN_DIRECTORY


def doctor(models_dir: Path) -> int:
    """Exit code of the command."""
    return app(["doctor", "--models-dir", str(models_dir)], standalone_mode=False) or 0


def lines(output: str) -> dict[str, str]:
    """The line of each subject."""
    return {line.split()[1]: line for line in output.splitlines()}


def test_names_what_is_installed_and_what_is_missing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert doctor(tmp_path) == 0
    found = lines(capsys.readouterr().out)
    assert __version__ in found["virnucpro"]
    assert "torch" in found["packages"]
    assert "Snakemake" in found["workflow"]
    assert found["model"].startswith("warning")
    assert "weights fetch" in found["model"]


def test_a_damaged_model_is_an_error_and_a_complete_one_is_not(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shutil.copytree(BUILTIN_DIRECTORY / "builtin-500", tmp_path / "mine")
    assert doctor(tmp_path) == 0
    assert lines(capsys.readouterr().out)["model"].startswith("ok")
    (tmp_path / "mine" / "classifier.safetensors").unlink()
    assert doctor(tmp_path) == 1
    found = lines(capsys.readouterr().out)["model"]
    assert found.startswith("failure")
    assert "classifier.safetensors is missing" in found


def test_a_cache_that_snakemake_cannot_write_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert doctor(tmp_path) == 0
    assert "XDG_CACHE_HOME" in lines(capsys.readouterr().out)["cache"]


def test_tries_the_folder_of_a_run_and_the_model_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = ["doctor", str(tmp_path / "not" / "there"), "--model", "builtin-500", "--json"]
    assert app(command, standalone_mode=False) is None
    found = {finding["subject"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert found["files"]["severity"] == found["model"]["severity"] == "ok"
    assert str(tmp_path) in found["files"]["text"]
    assert "builtin-500" in found["model"]["text"]
    assert list(tmp_path.iterdir()) == []
    assert app(["doctor", "--model", "nonsense"], standalone_mode=False) == 1


@pytest.mark.skipif(shutil.which("sbatch") is None, reason="needs Slurm's commands")
def test_a_slurm_that_does_not_answer_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "none.conf"))
    assert doctor(tmp_path) == 0
    found = lines(capsys.readouterr().out)["slurm"]
    assert found.startswith("warning")
    assert "does not answer" in found
