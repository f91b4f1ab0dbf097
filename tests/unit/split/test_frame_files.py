"""The original's three files: equal to its own output, and right for input that the original refuses."""

import gzip
from pathlib import Path

import pytest
from typer.testing import CliRunner

from virnucpro_kernels.cli.main import app
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.pool.geometry import Geometry
from virnucpro_kernels.sequences.records import read_batches
from virnucpro_kernels.split.frame_files import WrittenCounts, write_frame_files, write_frames


def write(text: str, folder: Path, geometry: Geometry) -> tuple[WrittenCounts, list[str]]:
    (folder / "input.fa").write_text(text)
    files = {name: folder / f"{name}.fa" for name in ("windows", "nucleotide", "protein")}
    counts = write_frame_files(read_batches(folder / "input.fa"), geometry, **files)
    return counts, [path.read_text() for path in files.values()]


@pytest.mark.parametrize("name", ["test_fixed_500bp", "test_with_orfs", "test_sequences_small"])
def test_the_originals_files(golden: Path, tmp_path: Path, name: str) -> None:
    written = {
        "windows": tmp_path / f"{name}_chunked500.fa",
        "nucleotide": tmp_path / f"{name}_identified_nucleotide.fa",
        "protein": tmp_path / f"{name}_identified_protein.faa",
    }
    write_frame_files(read_batches(golden / f"{name}.fa"), Geometry(500, "original"), **written)
    for path in written.values():
        assert path.read_bytes() == (golden / path.name).read_bytes()


def test_the_case_of_windows_is_kept_and_lines_are_wrapped(tmp_path: Path) -> None:
    first = "acgN" * 30
    counts, texts = write(f">a b c\n{first}\n{first}C\n", tmp_path, Geometry(120, "original"))
    assert counts == WrittenCounts(contigs=1, windows=3, frames=18)
    sequence = first + first + "C"
    pieces = [sequence[0:120], sequence[80:200], sequence[160:241]]
    assert texts[0] == "".join(
        f">a_chunk_{k}\n" + "".join(f"{piece[i : i + 60]}\n" for i in range(0, len(piece), 60))
        for k, piece in enumerate(pieces, start=1)
    )


def test_frames_by_hand(tmp_path: Path) -> None:
    counts, texts = write(">x\nATGgcNAAtga\n", tmp_path, Geometry(500, "original"))
    assert counts == WrittenCounts(1, 1, 5)
    # The codon with N is dropped, and the nucleotides are the first 3P + 1 bases of the frame. F3 ends in a stop.
    expected = {
        "F1": ("ATGGCNA", "MN"),
        "F2": ("TGGCNAA", "WM"),
        "R1": ("TCATTNG", "SA"),
        "R2": ("CATTNGC", "HP"),
        "R3": ("ATTNGCC", "IH"),
    }
    for number, text in enumerate(texts[1:]):
        assert text == "".join(f">x_chunk_1{frame}\n{pair[number]}\n" for frame, pair in expected.items())


@pytest.mark.parametrize("text", ["", ">only\n", ">short\nAC\n", ">stops\nTAATTAATTAATTAATTAA\n"])
def test_without_frames_the_files_are_empty(tmp_path: Path, text: str) -> None:
    counts, texts = write(text, tmp_path, Geometry(500, "original"))
    assert counts.frames == 0
    assert texts[1:] == ["", ""]


def test_the_command_reads_standard_input(tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.fa" for name in ("windows", "nucleotide", "protein")}
    options = [text for name, path in files.items() for text in (f"--{name}", str(path))]
    result = CliRunner().invoke(
        app, ["frames", "-", "--window-length", "6", *options], input=gzip.compress(b">x y\nACGGCCA\n")
    )
    assert result.exit_code == 0, result.exception
    assert result.output == "1 contigs, 2 windows, 10 frames\n"
    assert files["windows"].read_text() == ">x_chunk_1\nACGGCC\n>x_chunk_2\nGCCA\n"
    assert files["protein"].read_text().startswith(">x_chunk_1F1\nTA\n>x_chunk_1F2\nR\n")


@pytest.mark.parametrize("names", [("x.fa", "p", "w"), ("n", "./n", "w"), ("n", "p", "x.fa")])
def test_no_file_is_written_twice_or_in_the_place_of_the_input(tmp_path: Path, names: tuple[str, str, str]) -> None:
    (tmp_path / "x.fa").write_text(">a\nATGGCCAAA\n")
    nucleotide, protein, windows = (tmp_path / name for name in names)
    geometry = Geometry(60, "original")
    with pytest.raises(UsageError, match="is named twice"):
        write_frames(tmp_path / "x.fa", geometry, nucleotide=nucleotide, protein=protein, windows=windows)
    assert (tmp_path / "x.fa").read_text() == ">a\nATGGCCAAA\n"


def test_even_windows(tmp_path: Path) -> None:
    _, texts = write(">x\nACGTACGTAC\n", tmp_path, Geometry(6, "even"))
    assert texts[0] == ">x_chunk_1\nACGTAC\n>x_chunk_2\nACGTAC\n"
