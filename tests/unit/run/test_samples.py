"""The sample sheet, and names made from file names."""

import re
from pathlib import Path

import pytest

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.run.samples import Sample, name_samples, read_sheet, write_sheet


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for name in ("a.fa", "b.fastq.gz"):
        (tmp_path / "data" / name).write_text(">x\nACGT\n")
    (tmp_path / "config").mkdir()
    return tmp_path


def sheet(folder: Path, text: str) -> Path:
    path = folder / "config" / "samples.tsv"
    path.write_text(text)
    return path


def test_reads_names_inputs_and_pools(folder: Path) -> None:
    path = sheet(folder, "# two samples\nsample\tinput\tpool\n\none\t../data/a.fa\tp\ntwo\t../data/b.fastq.gz\t\n")
    assert read_sheet(path) == [Sample("one", Path("data/a.fa"), "p"), Sample("two", Path("data/b.fastq.gz"))]


def test_inputs_outside_the_working_directory_are_absolute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = sheet(folder, "sample\tinput\none\t../data/a.fa\n")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert read_sheet(path) == [Sample("one", folder / "data" / "a.fa")]


def test_a_sheet_written_can_be_read_from_anywhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [Sample("one", Path("data/a.fa"), "p"), Sample("two", Path("data/b.fastq.gz"))]
    write_sheet(folder / "new" / "samples.tsv", samples)
    monkeypatch.chdir(folder / "config")
    read = read_sheet(folder / "new" / "samples.tsv")
    assert [(sample.name, sample.input, sample.pool) for sample in read] == [
        ("one", folder / "data/a.fa", "p"),
        ("two", folder / "data/b.fastq.gz", ""),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty; it needs a header line"),
        ("sample\tinput\n", "no samples"),
        (
            "a\t../data/a.fa\n",
            "line 1: the first line has to be the header `sample<TAB>input`, but it is `a<TAB>../data/",
        ),
        ("# mine\na\tb\tc\nd\te\tf\n", "line 2: the first line has to be the header `sample<TAB>input`, but it is `a"),
        ("sample\nx\n", "line 1: no column 'input'; a sheet has sample and input"),
        ("sample\tfile\nx\t../data/a.fa\n", "line 1: unknown column 'file'; known are sample, input, pool"),
        ("sample\tinput\tcolour\nx\t../data/a.fa\tred\n", "line 1: unknown column 'colour'"),
        ("sample\tinptu\nx\t../data/a.fa\n", "line 1: unknown column 'inptu'; did you mean 'input'"),
        ("sample\tinput\nx\n", "line 2: no 'input'"),
        (
            "sample\tinput\nbad name\t../data/a.fa\n",
            "line 2: sample: 'bad name' is not allowed; choose a name of letters, digits, dot, underscore and hyphen",
        ),
        ("sample\tinput\nx\t\n", "line 2: input: '' "),
        ("sample\tinput\nx\t../data/a.fa\textra\n", "3 values for 2 columns"),
        ("sample\tinput\nx\t../data/a.fa\nx\t../data/b.fastq.gz\n", "sample 'x' occurs 2 times"),
        ("sample\tinput\nx\t../data/none.fa\n", "none.fa does not exist"),
        ("sample\tinput\nx\t../data\n", "is a directory"),
        ("sample\tinput\tpool\nx\t../data/a.fa\t\ny\t../data/a.fa\tx\n", "pool 'x' has the name of a sample"),
    ],
)
def test_refuses_a_wrong_sheet_and_says_where(folder: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        read_sheet(sheet(folder, text))


def test_many_problems_are_cut_short(folder: Path) -> None:
    rows = "".join(f"s{i}\t../data/{i}.fa\n" for i in range(30))
    with pytest.raises(UsageError) as caught:
        read_sheet(sheet(folder, f"sample\tinput\n{rows}"))
    assert str(caught.value).count("does not exist") == 10
    assert "and 20 more problems" in str(caught.value)


def test_a_sheet_that_is_not_there(folder: Path) -> None:
    with pytest.raises(UsageError, match="no such sample sheet"):
        read_sheet(folder / "none.tsv")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("reads.fastq.gz", "reads"),
        ("my contigs (1).fa", "my_contigs_1_"),
        ("x.v2.fna.zst", "x.v2"),
        ("A.FASTA", "A"),
        (".hidden.fa", "hidden"),
        ("noext", "noext"),
        ("über.fa", "ber"),
    ],
)
def test_samples_are_named_after_their_files(folder: Path, file: str, name: str) -> None:
    (folder / file).write_text(">x\nACGT\n")
    assert name_samples([Path(file)]) == [Sample(name, Path(file))]


def test_files_of_the_same_name_are_told_apart_by_their_folders(folder: Path) -> None:
    for place in ("run1", "run2"):
        (folder / place).mkdir()
        (folder / place / "contigs.fa").write_text(">x\nACGT\n")
    samples = name_samples([Path("run1/contigs.fa"), Path("run2/contigs.fa")])
    assert [sample.name for sample in samples] == ["run1_contigs", "run2_contigs"]
    with pytest.raises(UsageError, match="occurs 2 times; a sample sheet"):
        name_samples([Path("run1/contigs.fa"), Path("run1/contigs.fa")])
