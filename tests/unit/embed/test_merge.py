"""Merging: the vectors of both encoders side by side, and no two files together that do not belong together."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from tests.helpers.runs import call, virnucpro_command
from virnucpro_kernels.cli.main import app
from virnucpro_kernels.embed.merge import merge
from virnucpro_kernels.errors import DamagedFileError, UsageError
from virnucpro_kernels.pool.embedding_file import EmbeddingReader, EmbeddingWriter, verify
from virnucpro_kernels.pool.job_record import read_job
from virnucpro_kernels.pool.provenance import EncoderRecord, Provenance

BASE = Provenance("pool", "00000", "500-original", "encoders-fp16", "aa" * 32, "bb" * 32)
NUCLEOTIDE = replace(BASE, nucleotide=EncoderRecord("dnabert-s", "cc" * 32, 6, "fp16", "triton", 33_792, "ee" * 32))
PROTEIN = replace(BASE, protein=EncoderRecord("esm2-3b", "dd" * 32, 10, "fp16", "triton", 16_896))
ROWS = np.arange(3000) * 2 + 7


def vectors(provenance: Provenance, dtype: str) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(provenance.dimension)
    return rng.normal(size=(len(ROWS), provenance.dimension)).astype(dtype)


def write(path: Path, provenance: Provenance, rows: npt.NDArray[np.int64] = ROWS, dtype: str = "float16") -> Path:
    with EmbeddingWriter(path, len(rows), dtype, provenance) as writer:
        writer.write(rows, vectors(provenance, dtype)[: len(rows)])
    return path


@pytest.mark.parametrize(
    ("one", "other"), [("float16", "float16"), ("float32", "float32"), ("float16", "float32"), ("float32", "float16")]
)
def test_vectors_are_joined_bit_for_bit(tmp_path: Path, one: str, other: str) -> None:
    left = write(tmp_path / "n.h5", NUCLEOTIDE, dtype=one)
    right = write(tmp_path / "p.h5", PROTEIN, dtype=other)
    merge(left, right, tmp_path / "f.h5")
    with EmbeddingReader(tmp_path / "f.h5") as reader:
        found = reader.read(0, len(reader))
        np.testing.assert_array_equal(reader.rows, ROWS)
        assert reader.provenance == replace(NUCLEOTIDE, protein=PROTEIN.protein)
    np.testing.assert_array_equal(found[:, :6], vectors(NUCLEOTIDE, one))
    np.testing.assert_array_equal(found[:, 6:], vectors(PROTEIN, other))
    assert found.dtype == max(one, other), "the wider of the two"


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_linked_features_hold_the_same_and_copy_nothing(
    tmp_path: Path, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, moved = tmp_path / "run", tmp_path / "moved"
    folder.mkdir()
    left, right = write(folder / "n.h5", NUCLEOTIDE, dtype=dtype), write(folder / "p.h5", PROTEIN, dtype=dtype)
    linked, copied = folder / "linked.h5", folder / "copied.h5"
    assert merge(left, right, linked, link=True) == merge(left, right, copied)
    assert linked.stat().st_size < copied.stat().st_size - right.stat().st_size / 2
    folder.rename(moved)  # as users do with that of a run
    monkeypatch.chdir("/")
    with EmbeddingReader(moved / "linked.h5") as one, EmbeddingReader(moved / "copied.h5") as other:
        assert one.provenance == other.provenance
        for found, expected in zip(one.blocks(), other.blocks(), strict=True):
            assert [part.tobytes() for part in found] == [part.tobytes() for part in expected]
    with h5py.File(moved / "linked.h5") as plain:  # as users read it
        np.testing.assert_array_equal(plain["embedding"][5:9, :6], vectors(NUCLEOTIDE, dtype)[5:9])


def test_vectors_of_different_types_are_copied(tmp_path: Path) -> None:
    left, right = write(tmp_path / "n.h5", NUCLEOTIDE, dtype="float32"), write(tmp_path / "p.h5", PROTEIN)
    merge(left, right, tmp_path / "f.h5", link=True)
    left.unlink()
    assert verify(tmp_path / "f.h5").dimension == 16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.unlink(), r"p\.h5: there is no such file"),
        (lambda path: flip(path, 60_000), r"p\.h5: this is not a whole embedding file .*filter"),
        (lambda path: shutil.copy(path.with_name("f.h5"), path), r"p\.h5: points to other files"),
        (lambda path: shutil.copy(path.with_name("n.h5"), path), r"f\.h5: was made from other vectors"),
        (lambda path: write(path, PROTEIN, ROWS + 1), r"f\.h5: was made from other vectors than those of .*p\.h5"),
        (
            lambda path: write(path, replace(PROTEIN, protein_fasta_sha256="ff" * 32)),
            r"f\.h5: was made from other vectors than those of .*p\.h5",
        ),
    ],
    ids=["missing", "damaged", "linked itself", "of the other encoder", "other rows", "other content"],
)
def test_linked_features_without_their_vectors_are_refused(
    tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    left, right = write(tmp_path / "n.h5", NUCLEOTIDE), write(tmp_path / "p.h5", PROTEIN)
    merge(left, right, tmp_path / "f.h5", link=True)
    change(right)
    with pytest.raises(DamagedFileError, match=message):
        verify(tmp_path / "f.h5")


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_linked_features_are_in_the_folder_of_the_vectors(tmp_path: Path) -> None:
    left, right = write(tmp_path / "n.h5", NUCLEOTIDE), write(tmp_path / "p.h5", PROTEIN)
    with pytest.raises(UsageError, match="have to be in one folder"):
        merge(left, right, tmp_path / "elsewhere" / "f.h5", link=True)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.delete(ROWS, 1500), "row 3007 is in one of them only"),
        (np.append(ROWS[:-1], ROWS[-1] + 1), "row 6005 is in one of them only"),
    ],
)
def test_other_rows_are_refused(tmp_path: Path, rows: npt.NDArray[np.int64], message: str) -> None:
    left, right = write(tmp_path / "n.h5", NUCLEOTIDE), write(tmp_path / "p.h5", PROTEIN, rows)
    with pytest.raises(DamagedFileError, match=message):
        merge(left, right, tmp_path / "f.h5")
    assert not (tmp_path / "f.h5").exists()


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("pool", replace(PROTEIN, pool="x")),
        ("chunk", replace(PROTEIN, chunk="00001")),
        ("geometry", replace(PROTEIN, geometry="300-original")),
        ("encoders", replace(PROTEIN, encoders="encoders-fp32")),
        ("nucleotide_fasta_sha256", replace(PROTEIN, nucleotide_fasta_sha256="ff" * 32)),
        ("protein_fasta_sha256", replace(PROTEIN, protein_fasta_sha256="ff" * 32)),
    ],
)
def test_files_of_different_work_are_refused(tmp_path: Path, field: str, other: Provenance) -> None:
    left, right = write(tmp_path / "n.h5", NUCLEOTIDE), write(tmp_path / "p.h5", other)
    with pytest.raises(DamagedFileError, match=f"attribute {field} is .* in the first"):
        merge(left, right, tmp_path / "f.h5")


def test_vectors_of_another_precision_than_the_folder_names_are_refused(tmp_path: Path) -> None:
    left, right = write(tmp_path / "n.h5", NUCLEOTIDE), write(tmp_path / "p.h5", PROTEIN)
    command = ["merge", str(left), str(right), "--output", str(tmp_path / "00000.features.h5"), "--encoders"]
    app([*command, "encoders-fp16"], standalone_mode=False)
    with pytest.raises(DamagedFileError, match=r"n.h5: the vectors are of encoders-fp16, not of encoders-fp32"):
        app([*command, "encoders-fp32"], standalone_mode=False)


def test_files_in_the_wrong_places_are_refused(tmp_path: Path) -> None:
    left, right = write(tmp_path / "n.h5", NUCLEOTIDE), write(tmp_path / "p.h5", PROTEIN)
    with pytest.raises(DamagedFileError, match="give nucleotide, then protein"):
        merge(right, left, tmp_path / "f.h5")


def test_the_command_keeps_a_record_beside_its_output(tmp_path: Path) -> None:
    left, right = write(tmp_path / "n.h5", NUCLEOTIDE), write(tmp_path / "p.h5", PROTEIN)
    app(["merge", str(left), str(right), "--output", str(tmp_path / "00000.features.h5")], standalone_mode=False)
    record = read_job(tmp_path / "00000.merge.json")
    assert (record["state"], record["done"], record["total"]) == ("complete", 3000, 3000)


def test_a_disk_that_takes_no_more_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk. The exit code is ours, although HDF5 cannot close the file."""
    left, right = write(tmp_path / "n.h5", NUCLEOTIDE), write(tmp_path / "p.h5", PROTEIN)
    output = tmp_path / "out" / "00000.features.h5"
    # The measurement of coverage in children would meet the limit too.
    unmeasured = ["env", "--unset=COVERAGE_PROCESS_START", "--unset=COVERAGE_PROCESS_CONFIG"]
    limited = [*unmeasured, "bash", "-c", 'ulimit -f 60; exec "$@"', "_"]
    ended = call([*limited, *virnucpro_command("merge", left, right, "--output", output)])
    assert (ended.returncode, ended.stderr) == (1, "error: File too large\n")
    assert [path.name for path in output.parent.iterdir()] == ["00000.merge.json"]
    assert read_job(output.with_name("00000.merge.json"))["state"] == "failed"
