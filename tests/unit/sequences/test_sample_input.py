"""Two passes over one input file: duplicate IDs are found or renamed, warnings, a file that changes."""

import gzip
import os
from collections import Counter
from pathlib import Path

import pysam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.sequences.problems import InputError
from virnucpro_kernels.sequences.records import Record
from virnucpro_kernels.sequences.sample_input import SampleInput, check_block, read_block


def fasta(path: Path, contigs: list[str]) -> Path:
    path.write_text("".join(f">{contig} a description\nACGT\nAC\n" for contig in contigs), encoding="utf-8")
    return path


def first_records(sample: SampleInput) -> list[Record]:
    records: list[Record] = []
    for block in sample.first_blocks():
        batch, check = check_block(block)
        sample.note(check)
        records += batch
    sample.close()
    return records


def consume(sample: SampleInput) -> int:
    return len(first_records(sample))


def second_names(sample: SampleInput) -> list[str]:
    return [contig for block in sample.second_blocks() for contig in read_block(block).contigs]


def test_both_readings_give_the_same_records(tmp_path: Path) -> None:
    sample = SampleInput(fasta(tmp_path / "x.fa", ["a", "b", "c"]), duplicate_ids="error")
    first = first_records(sample)
    assert [record for block in sample.second_blocks() for record in read_block(block)] == first
    assert [record.contig for record in first] == ["a", "b", "c"]
    assert sample.records == 3
    assert sample.warnings == []


def test_duplicates_are_refused_with_the_first_ten_and_their_number(tmp_path: Path) -> None:
    contigs = ["unique", *(f"twice_{i}" for i in range(500)), *(f"twice_{i}" for i in range(500)), "twice_3"]
    sample = SampleInput(fasta(tmp_path / "x.fa", contigs), duplicate_ids="error")
    with pytest.raises(InputError) as caught:
        consume(sample)
    assert caught.value.exit_code == 5
    first, *listed = str(caught.value).splitlines()
    assert first.startswith(f"{tmp_path / 'x.fa'}: 501 records have the ID of an earlier one")
    assert "`--set duplicate_ids=suffix`" in first
    assert "`duplicate_ids: suffix` in the configuration" in first
    assert listed == [
        f"{tmp_path / 'x.fa'}, record {502 + i} (line {1 + 3 * (501 + i):,}): "
        f"'twice_{i}' is the ID of record {2 + i} (line {4 + 3 * i}) too"
        for i in range(10)
    ]


def test_duplicates_far_apart_in_a_large_file(tmp_path: Path) -> None:
    contigs = [f"contig_{i}" for i in range(70_000)]
    contigs[69_999] = "contig_5"
    path = tmp_path / "x.fa"
    path.write_bytes(gzip.compress("".join(f">{contig}\nA\n" for contig in contigs).encode(), 1))
    with pytest.raises(
        InputError, match=r"record 70,000 \(line 139,999\): 'contig_5' is the ID of record 6 \(line 11\)"
    ):
        consume(SampleInput(path, duplicate_ids="error"))
    sample = SampleInput(path, duplicate_ids="suffix")
    assert consume(sample) == 70_000
    assert second_names(sample) == [*contigs[:69_999], "contig_5_2"]


def test_only_the_id_counts_not_the_description(tmp_path: Path) -> None:
    path = tmp_path / "reads.fq"
    path.write_text("@r 1:N:0\nA\n+\nI\n@r 2:N:0\nC\n+\nI\n")
    with pytest.raises(InputError, match=r"record 2 \(line 5\): 'r' is the ID of record 1 \(line 1\) too"):
        consume(SampleInput(path, duplicate_ids="error"))


def test_formats_without_lines_name_the_record(tmp_path: Path) -> None:
    path = tmp_path / "reads.bam"
    with pysam.AlignmentFile(str(path), "wb", header={"HD": {"VN": "1.6"}}) as out:
        for name in ("r", "q", "r"):
            segment = pysam.AlignedSegment(out.header)
            segment.query_name, segment.flag, segment.query_sequence = name, 4, "ACGT"
            out.write(segment)
    with pytest.raises(InputError, match=r"reads\.bam, record 3: 'r' is the ID of record 1 too"):
        consume(SampleInput(path, duplicate_ids="error"))


def test_suffixes_never_meet_an_id_of_the_file(tmp_path: Path) -> None:
    contigs = ["a", "a_3", "a", "a", "b_2", "b", "b", "a_2", "a"]
    sample = SampleInput(fasta(tmp_path / "x.fa", contigs), duplicate_ids="suffix")
    consume(sample)
    assert second_names(sample) == ["a", "a_3", "a_4", "a_5", "b_2", "b", "b_3", "a_2", "a_6"]
    [warning] = sample.warnings
    assert (warning.severity, warning.kind) == ("warning", "duplicate_id")
    assert warning.message.startswith("4 with the ID of an earlier record")


@given(st.lists(st.sampled_from(["a", "a_2", "a_3", "a_2_2", "b", "b_2", "é", "é_2", "c"])))
def test_suffixed_ids_are_unique_stable_and_leave_first_occurrences(
    tmp_path_factory: pytest.TempPathFactory, contigs: list[str]
) -> None:
    sample = SampleInput(fasta(tmp_path_factory.getbasetemp() / "suffix.fa", contigs), duplicate_ids="suffix")
    assert consume(sample) == len(contigs)
    names = second_names(sample)
    assert second_names(sample) == names
    assert max(Counter(names).values(), default=1) == 1
    seen: set[str] = set()
    for contig, name in zip(contigs, names, strict=True):
        assert name == contig if contig not in seen else name.startswith(f"{contig}_") and name not in contigs
        seen.add(contig)


def test_warnings_name_records_without_sequence(tmp_path: Path) -> None:
    path = tmp_path / "x.fa"
    path.write_text(">full\nACGT\n>none\n>rna\nACGU\n" + "".join(f">empty_{i}\n" for i in range(15)))
    sample = SampleInput(path, duplicate_ids="error", name="sample 1")
    assert consume(sample) == 18
    lines = [str(warning) for warning in sample.warnings]
    assert all(warning.severity == "warning" for warning in sample.warnings)
    assert "sample 1, record 2 (line 3): 'none' has no sequence" in lines
    assert any(line.startswith("sample 1, record 3 (line 4): 'rna' is RNA") for line in lines)
    assert "sample 1: and 6 more of this kind" in lines


def test_an_empty_file_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "x.fa.gz"
    path.write_bytes(gzip.compress(b""))
    sample = SampleInput(path, duplicate_ids="error")
    assert consume(sample) == 0
    assert second_names(sample) == []
    assert [warning.kind for warning in sample.warnings] == ["empty_file"]


def test_the_first_error_stops_the_first_reading(tmp_path: Path) -> None:
    path = tmp_path / "my x.fa"
    path.write_text(">a\nACGT\n>b\nAC?T\n>c\n!\n")
    with pytest.raises(InputError, match=r"record 2 \(line 3\): 'b' holds '\?' at base 3") as caught:
        consume(SampleInput(path, duplicate_ids="error"))
    assert f"`virnucpro check '{path}'` lists every problem" in str(caught.value)
    assert "'c'" not in str(caught.value)


def test_a_file_that_changes_between_the_readings_is_refused(tmp_path: Path) -> None:
    path = fasta(tmp_path / "x.fa", ["a", "b"])
    sample = SampleInput(path, duplicate_ids="error")
    consume(sample)
    fasta(path, ["a", "c"])
    os.utime(path, ns=(1, 1))
    with pytest.raises(UsageError, match="changed while it was being read"):
        second_names(sample)


def test_the_second_reading_needs_the_first_to_its_end(tmp_path: Path) -> None:
    sample = SampleInput(fasta(tmp_path / "x.fa", ["a", "b"]), duplicate_ids="error")
    sample.note(check_block(next(sample.first_blocks()))[1])
    with pytest.raises(RuntimeError):
        second_names(sample)
