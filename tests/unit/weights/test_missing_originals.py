"""An import without all of its files: everything that is missing is named, and nothing is made."""

from pathlib import Path

import pytest

from tests.helpers.original_models import Originals
from virnucpro_kernels.errors import DamagedFileError, UsageError, VirnucproError


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "pytorch_model.bin"])
def test_a_missing_original_is_named(tmp_path: Path, originals: Originals, missing: str) -> None:
    (originals.nucleotide / missing).unlink()
    with pytest.raises(UsageError, match=rf"DNABERT-S \(--nucleotide\) lacks .*{missing}\n"):
        originals.imported(tmp_path / "models")


def test_all_missing_originals_are_named_at_once(tmp_path: Path, originals: Originals) -> None:
    for name in ("config.json", "tokenizer.json"):
        (originals.nucleotide / name).unlink()
    originals.protein.unlink()
    originals.classifier.unlink()
    with pytest.raises(UsageError) as caught:
        originals.imported(tmp_path / "models")
    assert str(caught.value).splitlines() == [
        f"there is no file {originals.classifier} (--classifier)",
        f"the directory {originals.nucleotide} (--nucleotide) lacks config.json and tokenizer.json",
        f"there is no file or directory {originals.protein} (--protein)",
        "nothing was imported; `virnucpro weights import --help` says what each option takes",
    ]
    assert not (tmp_path / "models").exists()


def test_a_file_in_place_of_its_directory_is_told(tmp_path: Path, originals: Originals) -> None:
    originals.nucleotide /= "pytorch_model.bin"
    with pytest.raises(UsageError, match="--nucleotide takes the directory that holds it"):
        originals.imported(tmp_path / "models")


def test_all_missing_shards_are_named(tmp_path: Path, originals: Originals) -> None:
    (originals.nucleotide / "pytorch_model.bin").unlink()
    index = originals.nucleotide / "pytorch_model.bin.index.json"
    index.write_text('{"weight_map": {"a": "1.bin", "b": "2.bin"}}')
    with pytest.raises(DamagedFileError, match=r"files that are not beside it: 1\.bin, 2\.bin; download them too"):
        originals.imported(tmp_path / "models")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, originals: Originals) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VirnucproError, match=r"cannot be written \(Not a directory\).*--models-dir"):
        originals.imported(tmp_path / "file" / "models")
