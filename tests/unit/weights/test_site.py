"""The folder of the models: what was given, then the site's, then the user's own; and why, where one asks."""

import shutil
import site
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.runs import ROOT, call, contigs, write_run
from virnucpro_kernels.cli.main import app
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.weights import site as module
from virnucpro_kernels.weights.registry import BUILTIN_DIRECTORY, find_model
from virnucpro_kernels.weights.site import find_models_dir


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The two site files of a test, neither of which is there."""
    files = tmp_path / "prefix" / "etc" / "virnucpro.toml", tmp_path / "etc" / "virnucpro.toml"
    for file in files:
        file.parent.mkdir(parents=True)
    monkeypatch.setattr(module, "SITE_FILES", files)
    return files


def test_what_was_given_wins_then_the_installation_then_the_machine_then_the_user(
    tmp_path: Path, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert str(find_models_dir()) == f"{tmp_path}/data/virnucpro/models (the user's own)"
    files[1].write_text('models_dir = "/machine"\n')
    assert str(find_models_dir()) == f"/machine (set in {files[1]})"
    files[0].write_text('models_dir = "/installation"\n')
    assert str(find_models_dir()) == f"/installation (set in {files[0]})"
    assert str(find_models_dir(tmp_path)) == f"{tmp_path} (as given)"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "must hold one line"),
        (b'models_dir = "relative"', "must hold one line"),
        (b"models_dir = 3", "must hold one line"),
        (b'models_dir = "/a"\nmodel = "b"', "must hold one line"),
        (b"models_dir: /a", "it is not TOML"),
        (b"\xff", "decode"),
    ],
)
def test_a_wrong_site_file_is_refused_and_not_passed_over(
    files: tuple[Path, Path], content: bytes, reason: str
) -> None:
    files[0].write_bytes(content)
    files[1].write_text('models_dir = "/machine"\n')
    with pytest.raises(UsageError, match=rf"^{files[0]}.* {reason}.*--models-dir"):
        find_models_dir()
    with pytest.raises(UsageError, match=reason):
        find_model("builtin-500")
    assert find_model("builtin-500", files[0].parent).name == "builtin-500"


def test_a_site_file_that_cannot_be_read_is_no_absent_one(files: tuple[Path, Path]) -> None:
    files[0].mkdir()
    with pytest.raises(UsageError, match="Is a directory"):
        find_models_dir()


def test_the_list_and_the_doctor_say_which_folder_and_why(
    tmp_path: Path, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    files[0].write_text(f'models_dir = "{tmp_path}/shared"\n')
    shutil.copytree(BUILTIN_DIRECTORY / "builtin-500", tmp_path / "shared" / "ours")
    for command in (["weights", "list"], ["doctor"]):
        app(command, standalone_mode=False)
        output = capsys.readouterr().out
        assert f"{tmp_path}/shared (set in {files[0]})" in output
        assert "ours" in output
        app([*command, "--models-dir", str(tmp_path / "own")], standalone_mode=False)
        output = capsys.readouterr().out
        assert f"{tmp_path}/own (as given)" in output
        assert "ours" not in output


@pytest.mark.slow
def test_snakemake_and_predict_take_the_folder_of_the_installation(tmp_path: Path) -> None:
    """In a virtual environment of its own, whose site file the test can write."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    (tmp_path / "env" / "etc").mkdir()
    (tmp_path / "env" / "etc" / "virnucpro.toml").write_text(f'models_dir = "{tmp_path}/shared"\n')
    shutil.copytree(BUILTIN_DIRECTORY / "builtin-500", tmp_path / "shared" / "ours")
    write_run(tmp_path / "run", {"a": contigs(0, 1)})
    python: list[str | Path] = [tmp_path / "env" / "bin" / "python", "-m"]
    path = ":".join([str(ROOT), *site.getsitepackages()])
    predict: list[str | Path] = [
        "virnucpro_kernels",
        "predict",
        "run/data/a.fa",
        "--output-dir",
        "out",
        "--model",
        "ours",
        "--dry-run",
    ]
    snakemake: list[str | Path] = [
        "snakemake",
        "-s",
        ROOT / "Snakefile",
        "-d",
        "run",
        "-c1",
        "--dry-run",
        "--config",
        "model=ours",
    ]
    for command in (predict, snakemake):
        ended = call([*python, *command], tmp_path, PYTHONPATH=path)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    ended = call([*python, *predict, "--models-dir", "nowhere"], tmp_path, PYTHONPATH=path)
    assert ended.returncode == 5
    assert "no model 'ours' in" in ended.stderr
    ended = call([*python, *snakemake, "models_dir=nowhere"], tmp_path, PYTHONPATH=path)
    assert ended.returncode == 1
    assert "no model 'ours' in nowhere (as given)" in ended.stdout + ended.stderr
