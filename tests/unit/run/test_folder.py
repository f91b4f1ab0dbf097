"""The configuration that a start leaves in a run's folder."""

import shutil
from pathlib import Path

import pytest

from virnucpro_kernels.run.folder import plan_folder
from virnucpro_kernels.weights.registry import BUILTIN_DIRECTORY


def test_a_model_of_the_package_wins_over_a_folder_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some.fa").write_text(">a\nACGT\n")
    for name in ("compact-500", "mine"):
        shutil.copytree(BUILTIN_DIRECTORY / "compact-500", tmp_path / name)
    shutil.copytree(tmp_path / "mine", tmp_path / "models" / "imported")
    shutil.copytree(tmp_path / "mine", tmp_path / "imported")
    monkeypatch.chdir(tmp_path)

    def planned(model: str, **more: str) -> str:
        settings = {"model": model, **more}
        return str(plan_folder(tmp_path / "out", [tmp_path / "some.fa"], None, None, settings).config["model"])

    assert planned("compact-500") == "compact-500"
    assert planned("./compact-500") == str(tmp_path / "compact-500")
    assert planned("mine") == str(tmp_path / "mine")
    assert planned("imported") == str(tmp_path / "imported")
    assert planned("imported", models_dir="models") == "imported"
