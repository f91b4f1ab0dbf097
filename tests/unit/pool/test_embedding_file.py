"""The HDF5 files: the same work gives the same bytes, and damaged files are refused."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from virnucpro_kernels.errors import DamagedFileError, VirnucproError
from virnucpro_kernels.pool.embedding_file import EmbeddingReader, EmbeddingWriter, verify
from virnucpro_kernels.pool.provenance import EncoderRecord, Provenance

PROTEIN = EncoderRecord("esm2-8m", "ab" * 32, 24, "fp32", "sdpa", 4096)
PROVENANCE = Provenance("sämple; 1", "00003", "500-original", "encoders", "01" * 32, "23" * 32, protein=PROTEIN)


def vectors_of(count: int, dimension: int = 24, dtype: npt.DTypeLike = np.float32) -> npt.NDArray[np.float32]:
    return np.random.default_rng(7).normal(size=(count, dimension)).astype(dtype)


def write(path: Path, count: int, provenance: Provenance = PROVENANCE, step: int = 100, dtype: str = "float32") -> None:
    rows, vectors = np.arange(count) * 3 + 1, vectors_of(count, provenance.dimension)
    with EmbeddingWriter(path, count, dtype, provenance) as writer:
        for start in range(0, count, step):
            writer.write(rows[start : start + step], vectors[start : start + step])


def read(path: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    with EmbeddingReader(path) as reader:
        blocks = list(reader.blocks())
    return np.concatenate([rows for rows, _ in blocks]), np.concatenate([vectors for _, vectors in blocks])


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_what_was_written_is_read(tmp_path: Path, dtype: str) -> None:
    wide = replace(PROVENANCE, protein=replace(PROTEIN, dimension=2560))  # several stored blocks
    write(tmp_path / "a.h5", 2000, wide, step=333, dtype=dtype)
    rows, vectors = read(tmp_path / "a.h5")
    assert rows.tolist() == list(range(1, 6001, 3))
    np.testing.assert_array_equal(vectors, vectors_of(2000, 2560).astype(dtype))
    assert vectors.dtype == dtype
    assert verify(tmp_path / "a.h5") == wide
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def test_provenance_of_both_encoders_survives(tmp_path: Path) -> None:
    nucleotide = EncoderRecord("dnabert-s", "cd" * 32, 8, "fp16", "triton", 33_792)
    both = replace(PROVENANCE, nucleotide=nucleotide)
    write(tmp_path / "f.h5", 5, both)
    assert verify(tmp_path / "f.h5") == both
    assert both.dimension == 32
    assert both.window_length == 500


def test_a_file_says_how_the_biases_of_its_encoder_were_corrected(tmp_path: Path) -> None:
    corrected = replace(PROVENANCE, protein=replace(PROTEIN, precision="fp8", bias_correction="means"))
    write(tmp_path / "corrected.h5", 5, corrected)
    assert verify(tmp_path / "corrected.h5") == corrected
    uncorrected = replace(PROVENANCE, protein=replace(PROTEIN, precision="fp8"))
    write(tmp_path / "plain.h5", 5, uncorrected)
    assert verify(tmp_path / "plain.h5") == uncorrected != corrected
    with h5py.File(tmp_path / "plain.h5") as file:
        assert "protein_bias_correction" not in file.attrs


def test_bytes_depend_on_the_content_alone(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", 1000, step=1)
    write(tmp_path / "b.h5", 1000, step=700)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_other_readers_see_plain_datasets_and_attributes(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", 10)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["embedding"].shape == (10, 24)
        assert file["embedding"].fletcher32
        assert file["row"].fletcher32
        assert file.attrs["pool"].decode() == "sämple; 1"
        assert file.attrs["protein_token_budget"] == 4096


def test_every_flipped_byte_is_noticed_or_harmless(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", 300)
    whole = (tmp_path / "a.h5").read_bytes()
    provenance = verify(tmp_path / "a.h5")
    rows, vectors = read(tmp_path / "a.h5")
    first = whole.index(vectors.tobytes())
    in_vectors, damaged = range(first, first + vectors.nbytes), tmp_path / "b.h5"
    for place in sorted({*range(0, len(whole), 197), *range(0, first, 11)}):
        damaged.write_bytes(whole[:place] + bytes([whole[place] ^ 0x24]) + whole[place + 1 :])
        try:
            seen = verify(damaged), *read(damaged)
        except DamagedFileError:
            continue
        else:
            assert place not in in_vectors
            assert seen[0] == provenance
            np.testing.assert_array_equal(seen[1], rows)
            np.testing.assert_array_equal(seen[2], vectors)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_noticed(tmp_path: Path, share: float) -> None:
    write(tmp_path / "a.h5", 300)
    whole = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "a.h5").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DamagedFileError, match=r"a\.h5.*if it is a file of a run, the next `virnucpro predict`"):
        verify(tmp_path / "a.h5")


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match=r"a\.h5: there is no such file"):
        verify(tmp_path / "a.h5")


def edited(path: Path, name: str, value: npt.NDArray[np.generic]) -> None:
    with h5py.File(path, "r+") as file:
        del file[name]
        file.create_dataset(name, data=value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("row", np.array([1, 4, 4]), "not unique and ascending"),
        ("row", np.array([1, 7, 4]), "not unique and ascending"),
        ("row", np.array([1, 4]), "are not"),
        ("row", np.array([1.0, 4.0, 7.0]), "are not"),
        ("embedding", np.zeros((3, 23), np.float32), "are not"),
        ("embedding", np.zeros((3, 24), np.float64), "float64"),
    ],
)
def test_wrong_rows_or_shapes_are_noticed(
    tmp_path: Path, name: str, value: npt.NDArray[np.generic], message: str
) -> None:
    write(tmp_path / "a.h5", 3)
    edited(tmp_path / "a.h5", name, value)
    with pytest.raises(DamagedFileError, match=message):
        verify(tmp_path / "a.h5")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_noticed(tmp_path: Path, value: float) -> None:
    write(tmp_path / "a.h5", 30)
    vectors = vectors_of(30)
    vectors[17, 5] = value
    edited(tmp_path / "a.h5", "embedding", vectors)
    with EmbeddingReader(tmp_path / "a.h5") as reader:
        assert reader.read(0, 17).shape == (17, 24)
        with pytest.raises(DamagedFileError, match=r"a\.h5: the vector of row 52"):  # position 17 has row 17 * 3 + 1
            list(reader.blocks())


@pytest.mark.parametrize("name", ["pool", "schema_version", "protein_sha256", "protein_dimension"])
def test_a_missing_attribute_is_noticed(tmp_path: Path, name: str) -> None:
    write(tmp_path / "a.h5", 3)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file.attrs[name]
    with pytest.raises(DamagedFileError):
        verify(tmp_path / "a.h5")


def test_another_file_format_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", 3)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file.attrs["schema_version"] = 1
    with pytest.raises(DamagedFileError, match="the file has format 1, not 2"):
        verify(tmp_path / "a.h5")


def write_blocks(path: Path, announced: int, dtype: str, *blocks: tuple[list[int], npt.NDArray[np.float32]]) -> None:
    with EmbeddingWriter(path, announced, dtype, PROVENANCE) as writer:
        for rows, vectors in blocks:
            writer.write(np.array(rows), vectors)


def test_an_unfinished_file_never_appears(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 rows written, 3 announced"):
        write_blocks(tmp_path / "a.h5", 3, "f4", ([0, 1], vectors_of(2)))
    with pytest.raises(ValueError, match="more than the 1 rows announced"):
        write_blocks(tmp_path / "a.h5", 1, "f4", ([0, 1], vectors_of(2)))
    assert list(tmp_path.iterdir()) == []


def test_the_writer_refuses_what_no_reader_would_accept(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ascending"):
        write_blocks(tmp_path / "a.h5", 4, "f4", ([1, 2], vectors_of(2)), ([2, 3], vectors_of(2)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(70_000, "f2"), *((value, dtype) for value in (np.inf, -np.inf, np.nan) for dtype in ("f2", "f4"))],
)
def test_the_writer_refuses_what_is_not_finite(tmp_path: Path, value: float, dtype: str) -> None:
    vectors = vectors_of(3)
    vectors[1, 3] = vectors[2, 0] = value
    with pytest.raises(VirnucproError, match=f"row 8 is not finite in {np.dtype(dtype).name}"):
        write_blocks(tmp_path / "a.h5", 3, dtype, ([7, 8, 9], vectors))
    assert list(tmp_path.iterdir()) == []
