"""The build of PyTorch is held against the driver before anything runs."""

import importlib.machinery
from pathlib import Path

import pynvml
import pytest

from virnucpro_kernels.embed import torch_build


@pytest.mark.parametrize(
    ("version", "cuda", "driver", "problem"),
    [
        ("2.13.0+cpu", None, 13000, "this machine has a GPU, but PyTorch 2.13.0+cpu is a build for CPUs only"),
        ("2.13.0", "13.0", 12040, "built for CUDA 13.0, but the driver of the GPU supports CUDA 12.4 at most"),
        ("2.13.0", "12.8", 12040, ""),
        ("2.13.0", "12.8", 13000, ""),
    ],
)
def test_a_build_that_does_not_fit_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, cuda: str | None, driver: int, problem: str
) -> None:
    (tmp_path / "version.py").write_text(f"__version__ = {version!r}\ncuda = {cuda!r}\n")
    spec = importlib.machinery.ModuleSpec("torch", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(torch_build, "find_spec", lambda _: spec)
    for name, answer in (("Init", None), ("Shutdown", None), ("SystemGetCudaDriverVersion", driver)):
        monkeypatch.setattr(pynvml, f"nvml{name}", lambda answer=answer: answer)
    found = torch_build.build_problem()
    assert problem in found
    assert bool(found) == bool(problem)


def test_without_torch_the_way_to_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_build, "find_spec", lambda _: None)
    assert torch_build.build_problem().startswith("PyTorch is not installed")
