"""Sequence files: formats, compressions and headers."""

import gzip
import io
import random
import re
from pathlib import Path

import pysam
import pytest
from Bio.Seq import Seq
from Bio.SeqIO import write as write_genbank
from Bio.SeqRecord import SeqRecord
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.sequence_files import (
    COMPRESSORS,
    EXPECTED,
    FASTA,
    FASTQ,
    MakeFile,
    bam,
    bgzip,
    genbank,
    random_fasta,
    read,
    refusal,
    zstd,
)
from virnucpro_kernels.sequences.checks import inspect
from virnucpro_kernels.sequences.records import Record, read_batches


class TestFormats:
    @pytest.mark.parametrize("content", [FASTA, FASTQ], ids=["fasta", "fastq"])
    @pytest.mark.parametrize("compression", COMPRESSORS)
    @pytest.mark.parametrize("suffix", ["none", "wrong.gz"])
    def test_content_decides_not_suffix(self, file: MakeFile, content: bytes, compression: str, suffix: str) -> None:
        assert read(file(COMPRESSORS[compression](content), f"input.{suffix}")) == EXPECTED

    @pytest.mark.parametrize("compression", [name for name in COMPRESSORS if name != "plain"])
    def test_several_compressed_members(self, file: MakeFile, compression: str) -> None:
        compress = COMPRESSORS[compression]
        assert read(file(compress(FASTA[:20]) + compress(FASTA[20:]))) == EXPECTED

    def test_parallel_zstd_starts_with_a_skippable_frame(self, file: MakeFile) -> None:
        skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00\x00\x00\x00\x00"
        assert read(file(skippable + zstd(FASTA))) == EXPECTED

    def test_bgzip(self, tmp_path: Path) -> None:
        path = tmp_path / "input.fa.gz"
        with pysam.BGZFile(str(path), "w") as out:
            out.write(FASTA)
        assert read(path) == EXPECTED

    @pytest.mark.parametrize("compression", [name for name in COMPRESSORS if name != "plain"])
    def test_zeros_between_and_behind_compressed_members(self, file: MakeFile, compression: str) -> None:
        compress = COMPRESSORS[compression]
        for padding in (bytes(4), bytes(100_000)):
            assert read(file(compress(FASTA[:20]) + padding + compress(FASTA[20:]) + padding)) == EXPECTED

    def test_bgzip_and_gzip_put_together_in_any_order_without_the_last_block(self, tmp_path: Path) -> None:
        path = tmp_path / "input.fa.gz"
        first, second = random_fasta(100), random_fasta(100, seed=1).replace(b">", b">b")
        whole, cut = bgzip(tmp_path, first), bgzip(tmp_path, first)[:-28]
        for content in (whole, whole + gzip.compress(second), cut + gzip.compress(second), cut + whole):
            path.write_bytes(content)
            assert len(read(path)) >= 100
            assert "no_end_block" not in [problem.kind for problem in inspect(path).problems]
        for content in (cut, gzip.compress(second) + cut):
            path.write_bytes(content)
            assert len(read(path)) == content.count(b"\x1f\x8b\x08") * 100
            [warning] = inspect(path).problems
            assert (warning.severity, warning.kind) == ("warning", "no_end_block")

    def test_old_mac_and_mixed_line_ends(self, file: MakeFile) -> None:
        for content in (FASTA, FASTQ):
            mac = content.replace(b"\n", b"\r")
            for text in (mac, mac + b"\n", gzip.compress(mac), b"\r" + mac, content.replace(b"\n", b"\r\n")):
                assert read(file(text)) == EXPECTED
        half = FASTA.index(b">two")
        assert read(file(FASTA[:half] + FASTA[half:].replace(b"\n", b"\r"))) == EXPECTED
        assert "record 2 (line 3)" in refusal(file(b">a\rA\r>\rC\r"))

    def test_a_windows_line_end_between_two_pieces_is_one(self, file: MakeFile) -> None:
        fastq = b"@a\n%b\n+\n%b\n@b\nA\n+\nI\n"
        for size in ((1 << 20) - 4, (1 << 20) - 5, (1 << 19) - 5):
            text = (fastq % (b"A" * size, b"I" * size)).replace(b"\n", b"\r\n")
            assert [len(record.sequence) for record in read(file(text))] == [size, 1]

    def test_carriage_returns_blank_lines_and_spaces(self, file: MakeFile) -> None:
        content = b"\r\n>one  first record\r\nAC GT\r\n\r\n N\tryk \r\n>two\r\nACG-*U\r\n\r\n"
        assert read(file(content)) == EXPECTED

    def test_blank_lines_at_the_end(self, file: MakeFile) -> None:
        assert read(file(FASTA + b"\n\r\n\n")) == EXPECTED
        assert read(file(FASTQ + b"\n\r\n\n")) == EXPECTED
        for lines in range(12):
            assert read(file(FASTQ + b"\n" * lines)) == EXPECTED
            assert len(read(file(b"@a\nA\n+\nI\n@b\n\n+\n\n" + b" \n" * lines))) == 2

    @pytest.mark.parametrize("blank", [" ", "\t"])
    def test_blanks_within_sequence_lines_are_removed(self, file: MakeFile, blank: str) -> None:
        content = f">one first record\nAC{blank}GT\nN{blank * 2}ryk{blank}\n>two\nACG-*U\n"
        assert read(file(content.encode())) == EXPECTED

    @pytest.mark.parametrize(
        "preamble", [b"\n \n", b"# made by hand\n", b";old style\n\n#x\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n"]
    )
    def test_blank_and_comment_lines_and_byte_order_marks_come_before_records(
        self, file: MakeFile, preamble: bytes
    ) -> None:
        assert read(file(preamble + FASTA)) == EXPECTED
        assert read(file(preamble + FASTQ)) == EXPECTED

    @pytest.mark.parametrize("compression", COMPRESSORS)
    @pytest.mark.parametrize("content", [b"", b"\n\n", b"# only a comment"])
    def test_an_empty_file_has_no_records(self, file: MakeFile, compression: str, content: bytes) -> None:
        assert read(file(COMPRESSORS[compression](content))) == []
        assert read(file(b"")) == []

    def test_records_without_sequence(self, file: MakeFile) -> None:
        assert read(file(b">a\n>b x\n\n>c\nA\n>d")) == [
            Record("a", "", b""),
            Record("b", "x", b""),
            Record("c", "", b"A"),
            Record("d", "", b""),
        ]
        assert read(file(b"@a\n\n+\n\n@b\nA\n+\nI\n")) == [Record("a", "", b""), Record("b", "", b"A")]

    def test_genbank(self, file: MakeFile) -> None:
        records = [
            SeqRecord(
                Seq("ACGTACGTNN" * 20),
                id="AB000048.1",
                description="Feline panleukopenia virus, μ",
                annotations={"molecule_type": "DNA"},
            ),
            SeqRecord(Seq("ACG"), id="X2", description="second", annotations={"molecule_type": "DNA"}),
        ]
        text = io.StringIO()
        write_genbank(records, text, "genbank")
        assert read(file(gzip.compress(text.getvalue().encode()))) == [
            Record("AB000048.1", "Feline panleukopenia virus, μ", b"ACGTACGTNN" * 20),
            Record("X2", "second", b"ACG"),
        ]

    def test_genbank_of_programs_that_write_no_accession(self, file: MakeFile) -> None:
        path = file(re.sub(rb"(ACCESSION|VERSION  ) +c.", rb"\1   .", genbank("c1", "c2")))
        assert [record.contig for record in read(path)] == ["c1", "c2"]

    def test_genbank_with_the_header_of_a_release_file(self, file: MakeFile) -> None:
        header = (
            b"GBVRL1.SEQ          Genetic Sequence Data Bank\n                          June 15 2024\n\n"
            b"                NCBI-GenBank Flat File Release 261.0\n\n   2 loci\n\n"
        )
        for notes in (header, b"Exported by hand\n", b"# a comment\n" + header.replace(b"\n", b"\r\n")):
            path = file(notes + genbank("c1", "c2"))
            assert [record.contig for record in read(path)] == ["c1", "c2"]
            path.write_bytes(notes + genbank("c1", "c2") + b"x\n")
            lines = (notes + genbank("c1", "c2")).count(b"\n")
            assert f"(line {lines + 1})" in refusal(path)
        for records in (b"a\n>x\nACGT\n", b"a\n" + b"ACGT" * 9 + b"\n", b"ID   X56734; SV 1; linear\n", b"a\n@x\nA\n"):
            refusal(file(records + genbank("c1")))

    def test_a_batch_numbers_its_records(self, file: MakeFile) -> None:
        path = file(b"".join(b">%d\nA\n" % i for i in range(70_000)))
        first = 0
        for batch in read_batches(path):
            assert batch.first_record == first
            assert batch.contigs == [str(first + i) for i in range(len(batch))]
            first += len(batch)
        assert first == 70_000


class TestBam:
    def test_mates_that_share_a_name_get_their_numbers(self, tmp_path: Path) -> None:
        path = bam(
            tmp_path / "reads.bam",
            [("r", 77, "ACGT"), ("r", 141, "GGTT"), ("s", 4, "AAC"), ("t/1", 77, "A"), ("t/2", 141, "C")],
        )
        assert read(path) == [
            Record("r/1", "", b"ACGT"),
            Record("r/2", "", b"GGTT"),
            Record("s", "", b"AAC"),
            Record("t/1", "", b"A"),
            Record("t/2", "", b"C"),
        ]

    def test_aligned_reads_come_as_they_were_sequenced_and_once(self, tmp_path: Path) -> None:
        reads = [
            ("r", 0, "AACG"),
            ("q", 16, "AACN"),
            ("r", 256, "AACG"),
            ("r", 2048, "AAC"),
            ("p", 1 | 16 | 128, "AACG"),
        ]
        path = bam(tmp_path / "aligned.bam", reads, reference=True)
        assert read(path) == [Record("r", "", b"AACG"), Record("q", "", b"NGTT"), Record("p/2", "", b"CGTT")]

    def test_a_read_without_sequence(self, tmp_path: Path) -> None:
        assert read(bam(tmp_path / "reads.bam", [("r", 4, None)])) == [Record("r", "", b"")]

    def test_no_reads(self, tmp_path: Path) -> None:
        assert read(bam(tmp_path / "reads.bam", [])) == []

    def test_truncated(self, tmp_path: Path) -> None:
        generator = random.Random(0)
        reads = [(f"r{i}", 4, "".join(generator.choices("ACGT", k=100))) for i in range(5_000)]
        whole = bam(tmp_path / "whole.bam", reads).read_bytes()
        path = tmp_path / "truncated.bam"
        path.write_bytes(whole[: len(whole) // 2])
        assert "truncated" in refusal(path)
        path.write_bytes(whole[:-28])  # between two blocks: only the empty block at the end is missing
        assert "truncated" in refusal(path)


class TestHeaders:
    @pytest.mark.parametrize(
        ("header", "contig", "description"),
        [
            ('a"b\'c;d,e|f  "quoted; text"', "a\"b'c;d,e|f", '"quoted; text"'),
            ("id\tdesc\twith tabs", "id", "desc\twith tabs"),
            ("  id after blanks", "id", "after blanks"),
            ("contig_é_病毒 Ωmega", "contig_é_病毒", "Ωmega"),
            (">x >y", ">x", ">y"),
            ("a\u00a0b c", "a\u00a0b", "c"),
            ("k141_1 flag=1 multi=2.0000 len=300", "k141_1", "flag=1 multi=2.0000 len=300"),
        ],
    )
    def test_odd_headers_survive(self, file: MakeFile, header: str, contig: str, description: str) -> None:
        for content in (f">plain\nA\n>{header}\nACGT\n", f"@plain\nA\n+\nI\n@{header}\nACGT\n+\nIIII\n"):
            assert read(file(content.encode()))[1] == Record(contig, description, b"ACGT")

    def test_headers_that_are_not_utf8_are_read_as_latin1(self, file: MakeFile) -> None:
        assert read(file(b">caf\xe9 \xfc\nA\n>caf\xc3\xa9s\nA\n")) == [
            Record("café", "ü", b"A"),
            Record("cafés", "", b"A"),
        ]

    @given(st.lists(st.text(st.characters(exclude_categories=("Cc", "Cs"))), min_size=1))
    def test_any_header_text_survives(self, tmp_path_factory: pytest.TempPathFactory, headers: list[str]) -> None:
        headers = [f"{i}{header}".rstrip(" ") for i, header in enumerate(headers)]
        path = tmp_path_factory.getbasetemp() / "any-header"
        path.write_text("".join(f">{header}\nA\n" for header in headers), encoding="utf-8", newline="\n")
        from_fasta = read(path)
        path.write_text("".join(f"@{header}\nA\n+\nI\n" for header in headers), encoding="utf-8", newline="\n")
        assert read(path) == from_fasta
        words = [header.partition(" ") for header in headers]
        assert [(record.contig, record.description) for record in from_fasta] == [
            (contig, description.lstrip(" ")) for contig, _, description in words
        ]

    def test_a_header_with_no_text_is_refused(self, file: MakeFile) -> None:
        assert "record 2 (line 3)" in refusal(file(b">a\nA\n>\nC\n"))
        assert "record 2 (line 5)" in refusal(file(b"@a\nA\n+\nI\n@ \nC\n+\nI\n"))
