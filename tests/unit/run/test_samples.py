"""The sample sheet, and names made from file names."""

import os
import re
from pathlib import Path

import pytest

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.run.samples import Sample, name_samples, parse_samples, read_sheet, write_sheet


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
        ('""\n', "line 1: the first line has to be the header"),
        ("sample\tinput\n", "no samples"),
        (
            "a\t../data/a.fa\n",
            "line 1: the first line has to be the header `sample<TAB>input`, but it is `a<TAB>../data/",
        ),
        ("# mine\na\tb\tc\nd\te\tf\n", "line 2: the first line has to be the header `sample<TAB>input`, but it is `a"),
        ("sample\nx\n", "line 1: no column 'input'; a sheet has sample and input"),
        ("sample\tfile\nx\t../data/a.fa\n", "line 1: unknown column 'file'; known are sample, input, input2, pool"),
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
        (
            "sample\tinput\tpool\nx\t../data/a.fa\t\ny\t../data/a.fa\tx\n",
            "pool 'x' has the name of a sample that is not in it; the sheet has to give the pool another name",
        ),
        ("sample\tinput\nfailed.tsv\t../data/a.fa\n", "sample 'failed.tsv' has a name that a run uses"),
        (f"sample\tinput\nx\t{'ACGT' * 100}\n", "cannot be read: File name too long"),
        ("sample\tinput\nx\t../data/a.fa/b\n", "a.fa/b does not exist"),
        ("sample\tinput\nx\t~nobody_of_that_name/a.fa\n", "~nobody_of_that_name/a.fa does not exist"),
        (f"sample\tinput\nx\t{'A' * 200_000}\n", "cannot be read: File name too long"),
    ],
)
def test_refuses_a_wrong_sheet_and_says_where(folder: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        read_sheet(sheet(folder, text))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_sheet_as_spreadsheets_write_it(folder: Path, encoding: str, line_end: str) -> None:
    lines = [
        "sample\tinput\t\t",
        'one\t"../data/a.fa"\t\t',
        "\t\t\t",
        "01000\t../data/b.fastq.gz",
        "\t",
    ]
    mark = "\ufeff" if encoding.startswith("utf-16-") else ""
    path = sheet(folder, "")
    path.write_bytes((mark + line_end.join(lines)).encode(encoding))
    assert read_sheet(path) == [Sample("one", Path("data/a.fa")), Sample("01000", Path("data/b.fastq.gz"))]


def test_a_sheet_that_is_no_text_or_no_file(folder: Path) -> None:
    path = sheet(folder, "")
    for content in (b"sample\tinput\n\xe9\tx\n", b"\xff\xfes"):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="not a text file in UTF-8 or UTF-16"):
            read_sheet(path)
    with pytest.raises(UsageError, match="the sample sheet cannot be read: Is a directory"):
        read_sheet(folder)
    with pytest.raises(UsageError, match="the sample sheet cannot be read: File name too long"):
        read_sheet(folder / ("x" * 300))


def test_a_file_whose_name_begins_like_a_home_directory(folder: Path) -> None:
    (folder / "config" / "~lock.fa").write_text(">x\nACGT\n")
    assert read_sheet(sheet(folder, "sample\tinput\none\t~lock.fa\n")) == [Sample("one", Path("config/~lock.fa"))]


def test_what_can_be_read_only_once_is_no_input_of_a_sample(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to("/dev/stdin")
    for name in (f"{folder}/pipe", "/dev/null", "/dev/stdin", "/proc/self/fd/0", f"{folder}/link"):
        with pytest.raises(UsageError, match="is a pipe or a device, which can be read only once"):
            read_sheet(sheet(folder, f"sample\tinput\none\t{name}\n"))
    assert parse_samples([f"{folder}/pipe"]) == [("pipe", folder / "pipe")]  # it is copied then


def test_a_file_that_may_not_be_read_is_no_input_of_a_sample(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may read everything
    with pytest.raises(UsageError, match=r"a\.fa cannot be read: Permission denied"):
        read_sheet(sheet(folder, "sample\tinput\none\t../data/a.fa\n"))


def test_names_that_a_run_cannot_have(folder: Path) -> None:
    (folder / "failed.tsv").write_text(">x\nACGT\n")
    with pytest.raises(UsageError, match=r"sample 'failed\.tsv' has a name that a run uses"):
        name_samples([Path("failed.tsv")])
    odd = Path(os.fsdecode(b"caf\xe9.fa"))
    odd.write_text(">x\nACGT\n")
    with pytest.raises(UsageError, match=r"caf\\xe9\.fa has a name that is not UTF-8"):
        name_samples([odd])


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
        ("phage.gbk", "phage"),
        ("gbvrl1.seq.gz", "gbvrl1"),
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
        name_samples([Path("run1/contigs.fa"), Path("run1/contigs.fasta")])
    with pytest.raises(UsageError, match=r"run1/contigs\.fa is given more than once"):
        name_samples([Path("run1/contigs.fa"), Path("run1/../run1/contigs.fa")])


@pytest.mark.parametrize("separator", ["\t", ","])
def test_paired_reads_are_one_sample(tmp_path: Path, separator: str) -> None:
    for name in ("a_1.fq", "a_2.fq", "b.fq"):
        (tmp_path / name).write_text("@r\nACGT\n+\nIIII\n")
    rows = [["Sample", "fastq_1", "fastq_2", "pool"], ["a", "a_1.fq", "a_2.fq", ""], ["b", "b.fq", "", "p"]]
    (tmp_path / "sheet").write_text("".join(separator.join(row) + "\n" for row in rows))
    samples = read_sheet(tmp_path / "sheet")
    assert [sample.inputs for sample in samples] == [
        (tmp_path / "a_1.fq", tmp_path / "a_2.fq"),
        (tmp_path / "b.fq",),
    ]
    write_sheet(tmp_path / "again.tsv", samples)
    assert read_sheet(tmp_path / "again.tsv") == samples

    (tmp_path / "sheet").write_text("sample\tinput\tinput2\na\ta_1.fq\ta_1.fq\nb\tb.fq\tnone.fq\n")
    with pytest.raises(UsageError, match=r"none\.fq does not exist\n.*input and input2 are the same file"):
        read_sheet(tmp_path / "sheet")
