"""`virnucpro compare`, through the command line: what it finds, what it writes, how it exits."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.helpers.defaults import thresholds
from tests.helpers.synthetic_pool import Contig, write_pool
from virnucpro_kernels.cli.main import main
from virnucpro_kernels.pool.embedding_file import EmbeddingWriter
from virnucpro_kernels.pool.file_names import ORIGINAL_FRAMES, ORIGINAL_WINDOWS
from virnucpro_kernels.pool.provenance import EncoderRecord, Provenance
from virnucpro_kernels.score import original_tables, tables
from virnucpro_kernels.score.collect import collect
from virnucpro_kernels.score.original_tables import Flavour
from virnucpro_kernels.score.sample_reader import Sources
from virnucpro_kernels.tools import result_files

Run = Callable[..., tuple[int, str]]
CONTIGS = [
    Contig('"q"x', 300, [(0, 300, {0: 2.0, 3: -1.0})]),
    Contig("b", 600, [(0, 300, {1: -3.0}), (300, 600, {})]),
    Contig("c", 300, [(0, 300, {})]),
]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def compare(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["virnucpro", "compare", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_of_main:
            main()
        captured = capsys.readouterr()
        return int(exit_of_main.value.code or 0), captured.out + captured.err

    return compare


def results(directory: Path, contigs: list[Contig], flavour: Flavour = "original") -> Path:
    pool = write_pool(directory / "pool", {"s": contigs})
    output = directory / "results" / "s"
    collect(
        Sources(pool.contigs, pool.windows, pool.manifest, pool.scores),
        sample="s", model=pool.model, output_dir=output, thresholds=thresholds(), original_files=flavour,
    )  # fmt: skip
    return output


def test_equal_directories(tmp_path: Path, run: Run) -> None:
    a, b = (results(tmp_path / name, CONTIGS) for name in "ab")
    code, text = run(a, b)
    assert code == 0
    for level, number in (("frames", 3), ("windows", 2), ("contigs", 3)):
        assert f"{level}: {number} in both, 0 only in A, 0 only in B\n  labels: {number} of {number} agree" in text
    assert "equal within a tolerance of 1e-05" in text


def test_differences_are_counted_measured_and_listed(tmp_path: Path, run: Run) -> None:
    changed = [
        Contig('"q"x', 300, [(0, 300, {0: 2.1, 3: -3.0})]),
        CONTIGS[1],
        Contig("new", 300, [(0, 300, {5: 1.0})]),
    ]
    a, b = results(tmp_path / "a", CONTIGS), results(tmp_path / "b", changed)
    code, text = run(a, b, "--mismatches", tmp_path / "mismatches.tsv")
    assert code == 1
    assert "frames: 3 in both, 0 only in A, 1 only in B\n  labels: 3 of 3 agree (100 %)" in text
    assert "windows: 2 in both, 0 only in A, 1 only in B\n  labels: 1 of 2 agree (50 %)" in text
    assert "contigs: 2 in both, 1 only in A, 1 only in B\n  labels: 1 of 2 agree (50 %)" in text
    found = pd.read_csv(tmp_path / "mismatches.tsv", sep="\t", keep_default_na=False)
    rows = set(map(tuple, found[["level", "id", "kind", "a", "b"]].itertuples(index=False)))
    assert ("windows", '"q"x_chunk_1', "label", "viral", "host") in rows
    assert ("contigs", "c", "only in A", "", "") in rows
    assert ("contigs", "new", "only in B", "", "") in rows
    assert ("frames", "new_chunk_1R3", "only in B", "", "") in rows
    assert ("contigs", '"q"x', "label", "viral", "host") in rows
    frames = found[(found["level"] == "frames") & (found["kind"] == "score")].set_index("id")
    assert sorted(frames.index) == ['"q"x_chunk_1F1', '"q"x_chunk_1R1']
    expected = 1 / (1 + np.exp(1)) - 1 / (1 + np.exp(3))
    assert frames["difference"].astype(float)['"q"x_chunk_1R1'] == pytest.approx(expected, abs=2e-6)
    assert f"different: {len(found)} mismatches" in text


def test_statistics_are_those_of_the_differences(tmp_path: Path, run: Run) -> None:
    for name, scores in (("a", [0.1, 0.2, 0.3, 0.4]), ("b", [0.1, 0.21, 0.33, 0.3])):
        lines = [f"x_chunk_{n}F1\tothers\t0.9\t{score}\n" for n, score in enumerate(scores)]
        (tmp_path / name).write_text("Sequence_ID\tPrediction\tscore1\tscore2\n" + "".join(lines))
    code, text = run(tmp_path / "a", tmp_path / "b", "--tolerance", 0.05)
    assert code == 1
    assert "mean 0.035, median 0.02, max 0.1, min 0, standard deviation 0.0390512" in text
    assert "different: 1 mismatches" in text
    assert run(tmp_path / "a", tmp_path / "b", "--tolerance", 0.2)[0] == 0


def test_a_score_of_one_side_alone_is_a_difference(tmp_path: Path, run: Run) -> None:
    lost = [CONTIGS[0], Contig("b", 600, [(0, 300, {}), (300, 600, {})]), CONTIGS[2]]
    code, text = run(results(tmp_path / "a", CONTIGS), results(tmp_path / "b", lost))
    assert code == 1
    assert "frames: 2 in both, 1 only in A, 0 only in B" in text
    assert "labels: 2 of 3 agree" in text


def test_ours_against_the_originals(tmp_path: Path, run: Run) -> None:
    ours, theirs = results(tmp_path / "a", CONTIGS[1:]), tmp_path / "x_merged"
    theirs.mkdir()
    for name in (ORIGINAL_FRAMES, ORIGINAL_WINDOWS):
        shutil.move(ours / name, theirs / name)
    code, text = run(ours, theirs)
    assert code == 0
    assert "frames: 1 in both" in text
    assert "largest difference of p_virus:" in text
    assert "windows: 1 in both" in text
    assert "only labels are compared" in text
    assert "contigs" not in text


def test_files_of_the_original_and_of_broad(tmp_path: Path, run: Run) -> None:
    original, broad = results(tmp_path / "a", CONTIGS), results(tmp_path / "b", CONTIGS, "broad")
    code, text = run(original / ORIGINAL_WINDOWS, broad / ORIGINAL_WINDOWS)
    assert (code, "scores: none that both have" in text) == (0, True)
    code, text = run(original / ORIGINAL_FRAMES, broad / ORIGINAL_FRAMES)
    assert (code, "largest difference of p_virus, p_other: mean " in text) == (0, True)
    changed = (broad / ORIGINAL_WINDOWS).read_text().replace("\tTrue\t", "\tFalse\t")
    (tmp_path / "changed").write_text(changed)
    assert run(original / ORIGINAL_WINDOWS, tmp_path / "changed")[0] == 1
    code, text = run(broad / ORIGINAL_WINDOWS, tmp_path / "changed")
    assert (code, "largest difference of max_score_0, max_score_1, margin: mean 0," in text) == (1, True)


def test_golden_files(golden: Path, run: Run) -> None:
    orfs, fixed = (golden / f"test_{name}_merged" for name in ("with_orfs", "fixed_500bp"))
    assert run(orfs, orfs)[0] == 0
    assert run(orfs, fixed)[0] == 1
    for name in ("with_orfs_nucleotide/output_1_DNABERT_S.pt", "with_orfs_protein/output_1_ESM.pt"):
        code, text = run(golden / f"test_{name}", golden / f"test_{name}")
        assert (code, "vectors: 4 in both" in text, "cosine: mean 1," in text) == (0, True, True)
    assert run(orfs / "output_1_merged.pt", golden / "test_with_orfs_protein" / "output_1_ESM.pt")[0] == 3


def test_whole_runs_are_compared_sample_by_sample(tmp_path: Path, run: Run) -> None:
    for name in "ab":
        results(tmp_path / name, CONTIGS)
        shutil.copytree(tmp_path / name / "results" / "s", tmp_path / name / "results" / "t")
    assert run(tmp_path / "a", tmp_path / "b")[0] == 0
    shutil.rmtree(tmp_path / "b" / "results" / "t")
    shutil.copytree(tmp_path / "b" / "results" / "s", tmp_path / "b" / "results" / "u")
    code, text = run(tmp_path / "a", tmp_path / "b", "--mismatches", tmp_path / "m.tsv")
    assert code == 1
    assert "samples: 1 in both, 1 only in A, 1 only in B" in text
    listed = pd.read_csv(tmp_path / "m.tsv", sep="\t", keep_default_na=False)
    assert listed[["id", "kind"]].to_numpy().tolist() == [["t", "only in A"], ["u", "only in B"]]
    assert "s: frames: 3 in both" in text


def vectors(path: Path, rows: list[int], values: np.ndarray, chunk_sha: str = "a" * 64) -> Path:
    encoder = EncoderRecord("p", "0" * 64, values.shape[1], "fp32", "sdpa", 100)
    provenance = Provenance("pool", "00000", "300-original", "encoders", chunk_sha, chunk_sha, protein=encoder)
    with EmbeddingWriter(path, len(rows), np.float32, provenance) as writer:
        writer.write(np.array(rows), values.astype(np.float32))
    return path


def original_vectors(path: Path, ids: list[str], values: np.ndarray) -> Path:
    torch.save({"proteins": ids, "data": list(torch.from_numpy(values.astype(np.float32)))}, path)
    return path


def test_vectors_are_matched_by_row_in_files_of_one_chunk(tmp_path: Path, run: Run) -> None:
    values = np.random.default_rng(0).normal(size=(5, 8))
    a = vectors(tmp_path / "a.h5", [0, 2, 5, 7, 8], values)
    b = vectors(tmp_path / "b.h5", [0, 2, 5, 7], values[:4] + np.array([[0], [0.25], [0], [0]]))
    code, text = run(a, b, "--mismatches", tmp_path / "m.tsv")
    assert code == 1
    assert "vectors: 4 in both, 1 only in A, 0 only in B" in text
    assert "largest difference of values: mean 0.0625, median 0, max 0.25, min 0," in text
    listed = pd.read_csv(tmp_path / "m.tsv", sep="\t", keep_default_na=False, dtype=str)
    assert listed[["id", "kind"]].to_numpy().tolist() == [["8", "only in A"], ["2", "vector"]]
    x, y = values[1], values[1] + 0.25
    cosine = (x @ y) / np.linalg.norm(x) / np.linalg.norm(y)
    assert float(listed["cosine"][1]) == pytest.approx(cosine, abs=1e-6)
    assert run(a, vectors(tmp_path / "c.h5", [0, 2, 5, 7, 8], values))[0] == 0


def test_our_vectors_are_matched_with_the_originals_by_id(tmp_path: Path, run: Run) -> None:
    values = np.random.default_rng(0).normal(size=(3, 8))
    (tmp_path / "chunks").mkdir()
    fasta = "".join(f">{row} c{row}_chunk_1F1\nACG\n" for row in (0, 4, 9))
    for suffix in ("fna", "faa"):
        (tmp_path / "chunks" / f"00000.{suffix}").write_text(fasta)
    (tmp_path / "encoders").mkdir()
    ours = vectors(tmp_path / "encoders" / "00000.protein.h5", [0, 4, 9], values)
    theirs = original_vectors(tmp_path / "x.pt", [f"c{n}_chunk_1F1" for n in (9, 0, 4)], values[[2, 0, 1]])
    assert run(ours, theirs)[0] == 0
    assert run(theirs, ours)[0] == 0
    assert run(theirs, original_vectors(tmp_path / "y.pt", ["c0_chunk_1F1"], values[:1]))[0] == 1
    (tmp_path / "chunks" / "00000.fna").unlink()
    code, text = run(ours, theirs)
    assert code == 3
    assert "IDs of its frames are not known" in text


def test_rows_of_different_chunks_are_not_taken_for_the_same_frames(tmp_path: Path, run: Run) -> None:
    values = np.ones((2, 4))
    code, text = run(
        vectors(tmp_path / "a.h5", [0, 1], values), vectors(tmp_path / "b.h5", [0, 1], values, chunk_sha="c" * 64)
    )
    assert (code, "not of the same chunk" in text) == (3, True)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing", None, "no such file"),
        ("other.tsv", "a\tb\n1\t2\n", "no result table (columns: a, b)"),
        ("empty.tsv", "", "cannot be read as a result table"),
        ("twice.tsv", "Modified_ID\tIs_Virus\nx\tTrue\nx\tTrue\n", "'x' occurs twice"),
        (
            "words.txt",
            "Sequence_ID\tPrediction\tscore1\tscore2\nxF1\tvirus\t0\tmuch\n",
            "cannot be read as a result table",
        ),
        (
            "cut.tsv.gz",
            gzip.compress(b"Modified_ID\tIs_Virus\n" * 1000, mtime=0)[:-20],
            "cannot be read as a result table",
        ),
        ("contigs.tsv", "contig\tstatus\tcall\tp_virus\nx\tscored\tviral\t0.7\n", "holds contigs"),
        ("bad.pt", b"nothing", "not a PyTorch checkpoint"),
        ("bad.h5", b"nothing", "not a whole embedding file"),
    ],
)
def test_unusable_files_exit_3(tmp_path: Path, run: Run, name: str, content: str | bytes | None, message: str) -> None:
    good = write(tmp_path / "good.csv", "Modified_ID\tIs_Virus\nx\tTrue\n")
    bad = tmp_path / name
    if content is not None:
        write(bad, content)
    if bad.suffix in {".pt", ".h5"}:
        good = vectors(tmp_path / "good.h5", [0], np.ones((1, 2)))
    code, text = run(good, bad)
    assert (code, message in text) == (3, True), text
    assert run(bad, good)[0] == 3


def test_a_directory_without_tables_exits_3(tmp_path: Path, run: Run) -> None:
    (tmp_path / "nothing").mkdir()
    good = results(tmp_path / "a", CONTIGS)
    assert run(good, tmp_path / "nothing")[0] == 3
    assert run(good, good / "contigs.tsv")[0] == 3


def test_every_column_that_is_read_is_one_that_is_written() -> None:
    ours = [set(columns) for columns in (tables.CONTIG_COLUMNS, tables.WINDOW_COLUMNS, tables.FRAME_COLUMNS)]
    theirs = [set(original_tables.FRAME_COLUMNS), *map(set, original_tables.WINDOW_COLUMNS.values())]
    for form in result_files._FORMATS:
        needed = form.columns | set(form.optional.values())
        assert any(needed <= written for written in ours + theirs), form
