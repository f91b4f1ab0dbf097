"""`virnucpro check`: every problem of every file at once, in its output and exit code; standard input and pipes."""

import bz2
import gzip
import lzma
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from virnucpro_kernels.sequences.checks import inspect
from virnucpro_kernels.sequences.streams import needs_spooling


def check(*inputs: str | Path, stdin: bytes = b"", folder: Path | None = None) -> tuple[int, str]:
    command = [sys.executable, "-m", "virnucpro_kernels", "check", *map(str, inputs)]
    run = subprocess.run(command, input=stdin, capture_output=True, cwd=folder, check=False)
    assert not run.stderr, run.stderr
    return run.returncode, run.stdout.decode()


def test_every_problem_of_every_file_is_listed(tmp_path: Path) -> None:
    (tmp_path / "many.fa").write_text(">a\nACGT\n>b\nAC!T\n>\nACGT\n>a\nACZT\n>e\n>a b\nAC\n")
    (tmp_path / "report.pdf").write_bytes(b"%PDF-1.4\n")
    cut = gzip.compress(bytes(range(33, 127)) * 100)
    (tmp_path / "cut.gz").write_bytes(cut[: len(cut) // 2])
    (tmp_path / "good.fq").write_text("@r\nACGT\n+\nIIII\n")
    code, output = check("many.fa", "report.pdf", "cut.gz", "missing.fa", "good.fq", folder=tmp_path)
    assert code == 5
    assert set(output.splitlines()) >= {
        "many.fa: FASTA, 6 records of 0 to 4 bases, 18 in all",
        "error: many.fa, record 2 (line 3): 'b' holds '!' at base 3, which is no nucleotide code",
        "error: many.fa, record 3 (line 5): the header has no ID: write a name at its start",
        "error: many.fa, record 4 (line 7): 'a' holds 'Z' at base 3, which is no nucleotide code (a protein sequence?)",
        "warning: many.fa, record 5 (line 9): 'e' has no sequence",
        "error: many.fa, record 4 (line 7): 'a' is the ID of record 1 (line 1) too",
        "error: many.fa, record 6 (line 10): 'a' is the ID of record 1 (line 1) too",
        "error: report.pdf: not a sequence file but a PDF document. Supported: FASTA, FASTQ, BAM, GenBank",
        "error: missing.fa: cannot be read: No such file or directory",
        "good.fq: FASTQ, 1 record of 4 to 4 bases, 4 in all, no problems",
    }
    assert "error: cut.gz: truncated" in output


def test_an_x_is_an_unknown_base_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "masked.fa").write_text(">a\nACGTXXXXACGT\n")
    code, output = check("masked.fa", folder=tmp_path)
    assert code == 0
    assert "warning: masked.fa, record 1 (line 1): 'a' holds X from base 5 on" in output


def test_a_sample_sheet_and_all_of_its_inputs_are_checked(tmp_path: Path) -> None:
    (tmp_path / "one.fa").write_text(">a\nACGT\n")
    (tmp_path / "two.fa").write_text(">a\nAC?T\n")
    sheet = tmp_path / "samples.tsv"
    sheet.write_text("sample\tinput\nfirst\tone.fa\nsecond\ttwo.fa\n")
    code, output = check("--samples", "samples.tsv", folder=tmp_path)
    assert code == 5
    assert "one.fa: FASTA, 1 record of 4 to 4 bases, 4 in all, no problems" in output
    assert "two.fa, record 1 (line 1): 'a' holds '?'" in output
    sheet.write_text("sample\tinput\nfirst\tmissing.fa\n")
    code, output = check("one.fa", "--samples", "samples.tsv", folder=tmp_path)
    assert code == 5
    assert "missing.fa does not exist" in output
    assert "one.fa: FASTA, 1 record" in output


def test_warnings_do_not_fail(tmp_path: Path) -> None:
    (tmp_path / "x.fa").write_text(">a\n>b\nACGU\n")
    code, output = check(tmp_path / "x.fa")
    assert code == 0
    assert output.count("warning: ") == 2


def test_each_kind_is_listed_ten_times_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "x.fa"
    path.write_text("".join(f">r{i}\nAC!\n" for i in range(1_000)) + ">last\n")
    problems = inspect(path).problems
    assert [problem.record for problem in problems if problem.kind == "characters"] == [*range(1, 11), None]
    assert problems[10].message == "and 990 more of this kind"
    assert [(problem.record, problem.line) for problem in problems if problem.kind == "empty_record"] == [(1001, 2001)]


def test_duplicates_in_the_whole_part_of_a_truncated_file(tmp_path: Path) -> None:
    content = b"".join(b"@r%d\nACGT\n+\nIIII\n" % (i % 900) for i in range(1_000))
    path = tmp_path / "x.fq"
    path.write_bytes(content[:-4])
    report = inspect(path)
    assert report.records == 999
    assert [problem.kind for problem in report.problems][:2] == ["format", "duplicate_id"]
    assert "99 records have the ID of an earlier one" in report.problems[1].message


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
def test_standard_input_compressed_or_not(compress: Callable[[bytes], bytes]) -> None:
    code, output = check("-", stdin=compress(b">a\nACGT\n>a\nACGT\n"))
    assert code == 5
    assert "error: standard input, record 2 (line 3): 'a' is the ID of record 1 (line 1) too" in output


def test_empty_standard_input_is_no_error() -> None:
    code, output = check("-")
    assert code == 0
    assert "warning: standard input: holds no records" in output


def test_a_named_pipe_is_spooled(tmp_path: Path) -> None:
    script = f"exec {sys.executable} -m virnucpro_kernels check <(gzip -c x.fa)"
    (tmp_path / "x.fa").write_text(">a\nACGT\n")
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert run.returncode == 0, run.stderr
    assert "FASTA, 1 record of 4 to 4 bases, 4 in all, no problems" in run.stdout


@pytest.mark.parametrize("redirect", ["/dev/stdin < x.fa", "/dev/fd/3 3< x.fa", "/proc/self/fd/3 3< x.fa"])
@pytest.mark.parametrize("command", ["check", "split --window-length 60 --output-dir out --threads 2"])
def test_open_files_of_this_process_are_read_as_pipes_are(tmp_path: Path, redirect: str, command: str) -> None:
    (tmp_path / "x.fa").write_text(">a\nACGTACGT\n")
    script = f"{sys.executable} -m virnucpro_kernels {command} {redirect}"
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert run.returncode == 0, run.stderr
    assert "1 record" in run.stdout or "contigs  1" in run.stdout


def test_descriptors_are_told_from_other_links(tmp_path: Path) -> None:
    (tmp_path / "x.fa").write_text(">a\nACGT\n")
    (tmp_path / "link").symlink_to("x.fa")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "stdin").symlink_to("/dev/stdin")
    assert not any(needs_spooling(tmp_path / name) for name in ("x.fa", "link", "loop", "none", "x.fa/y", "x" * 300))
    assert all(map(needs_spooling, [Path("-"), tmp_path / "stdin", Path("/dev/stdin"), Path("/dev/fd/0")]))


@pytest.mark.parametrize("command", ["check -", "split - --window-length 60 --output-dir out"])
def test_closed_standard_input_is_refused(tmp_path: Path, command: str) -> None:
    script = f"{sys.executable} -m virnucpro_kernels {command} <&-"
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert run.returncode == 5
    assert run.stderr.startswith("error: standard input is closed: ")
    assert run.stderr.count("\n") == 1


def test_odd_names_of_files(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.fa")).write_text(">a\nACGT\n")
    code, output = check(os.fsdecode(b"caf\xe9.fa"), "ACGT" * 100, "x\ny", folder=tmp_path)
    assert code == 5
    assert "caf\\xe9.fa: FASTA, 1 record" in output
    assert f"error: {'ACGT' * 100}: cannot be read: File name too long" in output


def test_a_terminal_as_standard_input_is_refused() -> None:
    controller, terminal = pty.openpty()
    try:
        command = [sys.executable, "-m", "virnucpro_kernels", "check", "-"]
        run = subprocess.run(command, stdin=terminal, capture_output=True, text=True, check=False)
    finally:
        os.close(terminal)
        os.close(controller)
    assert run.returncode == 5
    assert "standard input is a terminal" in run.stderr
