"""Hostile and damaged checkpoints: each is refused with its reason, and nothing in it runs."""

import collections
import os
import pickle
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.published_files import classifier, write_pickled_classifier
from virnucpro_kernels.errors import DamagedFileError, UsageError
from virnucpro_kernels.models.classifier import ClassifierConfig
from virnucpro_kernels.weights.checkpoints.classifier import read_classifier
from virnucpro_kernels.weights.checkpoints.safe_pickle import read_checkpoint


class Payload:
    """Pickles to a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


def canary_command(canary: Path) -> str:
    return f"touch {canary}"


def test_an_os_system_payload_is_refused_and_not_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    path = tmp_path / "500_model.pth"
    torch.save({"model_state_dict": Payload(os.system, canary_command(canary))}, path)
    with pytest.raises(DamagedFileError, match=r"refused, because it would import posix\.system") as caught:
        read_classifier(path)
    assert caught.value.exit_code == 3
    assert not canary.exists()
    torch.load(path, weights_only=False)  # the payload is a real one
    assert canary.exists()


@pytest.mark.parametrize(
    "hostile",
    [
        Payload(subprocess.getoutput, "touch canary"),
        Payload(eval, "open('canary', 'w')"),
        Payload(getattr, torch.nn.Linear, "forward"),
        Payload(random.Random, 1),
        collections.deque([1]),
    ],
    ids=["subprocess", "eval", "getattr", "class-outside-the-list", "harmless-but-outside"],
)
def test_everything_outside_the_list_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hostile: object
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(hostile, tmp_path / "c.pth")
    with pytest.raises(DamagedFileError, match="nothing was run"):
        read_classifier(tmp_path / "c.pth")
    assert not (tmp_path / "canary").exists()


def test_a_class_that_looks_like_ours_is_refused(tmp_path: Path) -> None:
    """The stand-ins are for exact names: `__main__.Other` is not `__main__.MLPClassifier`."""
    main = sys.modules["__main__"]
    other = type("Other", (torch.nn.Linear,), {"__module__": "__main__"})
    vars(main)["Other"] = other
    try:
        torch.save(other(2, 2), tmp_path / "c.pth")
    finally:
        del vars(main)["Other"]
    with pytest.raises(DamagedFileError, match=r"__main__\.Other"):
        read_classifier(tmp_path / "c.pth")


def test_a_stand_in_has_no_behaviour_of_the_class_it_stands_for(tmp_path: Path) -> None:
    """A classifier whose state would run code in a real module's methods is just data here."""
    model = classifier(ClassifierConfig(8, 4))
    model.bn1.__dict__["forward"] = "not a method"
    config, _ = read_classifier(write_pickled_classifier(tmp_path / "c.pth", model))
    assert config.dimension == 8


def test_a_module_that_contains_itself_is_refused(tmp_path: Path) -> None:
    model = classifier(ClassifierConfig(8, 4))
    model.bn1._modules["again"] = model
    with pytest.raises(DamagedFileError, match="not built as a module of PyTorch"):
        read_classifier(write_pickled_classifier(tmp_path / "c.pth", model))


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = write_pickled_classifier(tmp_path / "c.pth", classifier(ClassifierConfig(64, 32)))
    whole = path.read_bytes()
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(DamagedFileError, match="cut off") as caught:
            read_classifier(path)
        assert caught.value.exit_code == 3


def test_a_flipped_bit_in_a_tensor_is_noticed(tmp_path: Path) -> None:
    path = write_pickled_classifier(tmp_path / "c.pth", classifier(ClassifierConfig(64, 32)))
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    with pytest.raises(DamagedFileError, match="is damaged"):
        read_classifier(path)


def test_a_compressed_bomb_is_refused_unopened(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("c/data.pkl", bytes(200 << 20))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(DamagedFileError, match="compressed"):
        read_checkpoint(path)


def test_overlapping_records_are_refused(tmp_path: Path) -> None:
    """A bomb without compression: many entries of the directory for the same bytes."""
    path = tmp_path / "c.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("c/data.pkl", pickle.dumps(b"x" * 10_000, protocol=2))
        archive.filelist.extend(archive.filelist * 50)
    with pytest.raises(DamagedFileError, match="larger than the file"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [b"just text\n", b"\x1f\x8b\x08" + bytes(50), b"PK\x03\x04" + bytes(100)])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.pth").write_bytes(content)
    with pytest.raises(DamagedFileError, match="not a PyTorch checkpoint"):
        read_checkpoint(tmp_path / "c.pth")


def test_a_bare_pickle_is_refused_with_the_way_out(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (tmp_path / "c.pth").write_bytes(pickle.dumps(Payload(os.system, canary_command(canary)), protocol=2))
    with pytest.raises(DamagedFileError, match="bare pickle"):
        read_checkpoint(tmp_path / "c.pth")
    torch.save({"a": torch.ones(2)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(DamagedFileError, match="bare pickle"):
        read_checkpoint(tmp_path / "old.pth")
    assert not canary.exists()


def test_a_damaged_pickle_inside_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "good.pth")
    with zipfile.ZipFile(tmp_path / "good.pth") as good, zipfile.ZipFile(tmp_path / "bad.pth", "w") as bad:
        for record in good.infolist():
            content = good.read(record)
            bad.writestr(record.filename, content[:-5] if record.filename.endswith("data.pkl") else content)
    with pytest.raises(DamagedFileError, match=r"bad\.pth is "):
        read_checkpoint(tmp_path / "bad.pth")


def test_a_missing_file_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        read_checkpoint(tmp_path / "c.pth")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_tensors_are_mapped_and_not_read(tmp_path: Path) -> None:
    """A checkpoint larger than memory must pass: its tensors stay in the file."""
    torch.save({"a": torch.arange(10.0)}, tmp_path / "c.pth")
    tensor = read_checkpoint(tmp_path / "c.pth")["a"]
    assert torch.equal(tensor, torch.arange(10.0))
    assert str(tmp_path / "c.pth") in Path("/proc/self/maps").read_text()
