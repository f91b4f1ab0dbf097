"""Sequence files: formats, compressions, headers, and which files are refused with which message."""

import bz2
import gzip
import io
import lzma
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import pysam
import pytest
import zstandard
from Bio.Seq import Seq
from Bio.SeqIO import write as write_genbank
from Bio.SeqRecord import SeqRecord
from hypothesis import given
from hypothesis import strategies as st

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.sequences.checks import inspect
from virnucpro_kernels.sequences.problems import InputError
from virnucpro_kernels.sequences.records import Record, read_batches, read_records

FASTA = b">one first record\nACGTN\nryk\n>two\nACG-*U\n"
FASTQ = b"@one first record\nACGTNryk\n+\nIIIIIIII\n@two\nACG-*U\n+two\nIIIIII\n"
EXPECTED = [Record("one", "first record", b"ACGTNryk"), Record("two", "", b"ACG-*U")]


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd,
}


class MakeFile(Protocol):
    def __call__(self, data: bytes, name: str = ...) -> Path: ...


@pytest.fixture
def file(tmp_path: Path) -> MakeFile:
    def make(data: bytes, name: str = "input.dat") -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return make


def read(path: Path) -> list[Record]:
    return list(read_records(path))


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    assert isinstance(caught.value, UsageError)
    assert caught.value.exit_code == 5
    assert str(path) in str(caught.value)
    return str(caught.value)


def bgzip(folder: Path, data: bytes) -> bytes:
    with pysam.BGZFile(str(folder / "bgzip"), "w") as out:
        out.write(data)
    return (folder / "bgzip").read_bytes()


def genbank(*names: str) -> bytes:
    text = io.StringIO()
    for name in names:
        write_genbank(SeqRecord(Seq("ACGT" * 50), name, name, annotations={"molecule_type": "DNA"}), text, "genbank")
    return text.getvalue().encode()


def random_fasta(records: int, seed: int = 0) -> bytes:
    generator = random.Random(seed)
    return b"".join(b">contig_%d\n%s\n" % (i, bytes(generator.choices(b"ACGT", k=200))) for i in range(records))


def bam(path: Path, reads: Sequence[tuple[str, int, str | None]], *, reference: bool = False) -> Path:
    header = {"HD": {"VN": "1.6"}, **({"SQ": [{"SN": "chr1", "LN": 1000}]} if reference else {})}
    with pysam.AlignmentFile(str(path), "wb", header=header) as out:
        for name, flag, sequence in reads:
            segment = pysam.AlignedSegment(out.header)
            segment.query_name, segment.flag, segment.query_sequence = name, flag, sequence
            if not flag & 4:
                segment.reference_id, segment.reference_start = 0, 10
                segment.cigartuples = [(0, len(sequence or ""))]
            out.write(segment)
    return path


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


class TestRefusals:
    def test_missing_files_and_folders(self, tmp_path: Path) -> None:
        assert "No such file" in refusal(tmp_path / "nowhere.fa")
        assert "is a folder" in refusal(tmp_path)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
            (b"%PDF-1.7\n", "PDF"),
            (b"PK\x03\x04" + bytes(100), "zip archive"),
            (b"input.fa" + bytes(249) + b"ustar\x0000" + bytes(100), "tar archive"),
            (b"CRAM\x03\x00" + bytes(100), "CRAM"),
            (b"<!DOCTYPE html>\n<html>", "HTML"),
            (b"\n<HTML><body>", "HTML"),
            (b"<?xml version='1.0'?>", "XML"),
            (b'{"contig": "ACGT"}', "JSON"),
            (b"@HD\tVN:1.6\n@SQ\tSN:chr1\tLN:1000\n", "SAM text"),
            (b"r1\t4\t*\t0\t0\t*\t*\t0\t0\tACGTACGTACGTACGT\tIIIIIIIIIIIIIIII\n", "SAM text without a header"),
            (b"##fileformat=VCFv4.2\n#CHROM\tPOS\n", "VCF"),
            (b"##gff-version 3\nchr1\t.\tgene\t1\t9\n", "GFF"),
            (b"ID   X56734; SV 1; linear; mRNA; STD; PLN; 1859 BP.\n", "EMBL"),
            (b"H\tVN:Z:1.0\nS\t1\tACGT\n", "GFA"),
            (b"contig\tlength\nk141_1\t300\n", "a table with tabs"),
            (b"sample,file,reads\na,b,1\n", "a table with commas"),
            (b"ACGTACGTACGTACGTACGTACGTACGT\nACGT\n", "without a header line"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
            ("\ufeff>a\nACGT\n".encode("utf-16-le"), "UTF-16"),
            (b"Dear colleagues,\nplease find attached\n", "text that starts with 'Dear colleagues,'"),
            (bytes(range(128, 256)) * 4, "a binary file"),
            (gzip.compress(FASTA, mtime=0), "compressed twice"),
        ],
    )
    def test_other_files_are_named_for_what_they_look_like(self, file: MakeFile, content: bytes, words: str) -> None:
        message = refusal(file(gzip.compress(content)))
        assert words in message
        assert "Supported: FASTA" in message

    @pytest.mark.parametrize("compression", [name for name in COMPRESSORS if name != "plain"])
    @pytest.mark.parametrize("share", [0.0005, 0.6, 0.9999])
    def test_truncated_compressed_file(self, file: MakeFile, compression: str, share: float) -> None:
        whole = COMPRESSORS[compression](random_fasta(1_000))
        message = refusal(file(whole[: int(len(whole) * share)]))
        assert "truncated" in message

    def test_truncation_says_roughly_where(self, file: MakeFile) -> None:
        content = random_fasta(3_000)
        size, whole = len(content), gzip.compress(content)
        path = file(whole[: len(whole) // 2])
        found = re.search(
            r"truncated.* after ([\d,]+) bytes of decompressed data, ([\d,]+) whole records", refusal(path)
        )
        assert found is not None
        byte, records = (int(number.replace(",", "")) for number in found.groups())
        assert 0.4 * size < byte < 0.6 * size
        assert byte // 220 < records <= byte // 200

    @pytest.mark.parametrize("compression", [name for name in COMPRESSORS if name != "plain"])
    def test_damage_anywhere_in_a_further_member_is_never_the_end(self, file: MakeFile, compression: str) -> None:
        compress = COMPRESSORS[compression]
        first, second = compress(FASTA), compress(b">three\n" + b"ACGT" * 50 + b"\n")
        for size in range(1, len(second)):
            refusal(file(first + second[:size]))
        for place in range(len(second)):
            damaged = bytearray(second)
            damaged[place] ^= 0xFF
            try:
                assert len(read(file(first + bytes(damaged)))) == 3  # a byte that no reader looks at
            except InputError:
                continue

    @pytest.mark.parametrize("compression", [name for name in COMPRESSORS if name != "plain"])
    @pytest.mark.parametrize(
        ("behind", "what"),
        [
            (b"garbage", "text that starts with 'garbage'"),
            (b"\n", "blank lines"),
            (FASTA, "text that starts with '>one first record'"),
            (b"\x89PNG\r\n", "an image"),
        ],
    )
    def test_other_data_behind_compressed_data_are_told_as_such(
        self, file: MakeFile, compression: str, behind: bytes, what: str
    ) -> None:
        whole = COMPRESSORS[compression](FASTA)
        message = refusal(file(whole + behind))
        assert f"its compressed data are whole and end at byte {len(whole)}" in message
        assert what in message
        assert "2 whole records" in message
        assert refusal(file(whole + bytes(8) + behind)).count(f"end at byte {len(whole) + 8}") == 1

    @pytest.mark.parametrize("compression", [name for name in COMPRESSORS if name != "plain"])
    def test_damage_behind_an_empty_start_is_no_empty_file(self, file: MakeFile, compression: str) -> None:
        compress = COMPRESSORS[compression]
        assert "0 whole records" in refusal(file(compress(b"# comment\n") + compress(FASTA)[:8]))

    @pytest.mark.parametrize("compression", [name for name in COMPRESSORS if name != "plain"])
    def test_damaged_compressed_file(self, file: MakeFile, compression: str) -> None:
        data = bytearray(COMPRESSORS[compression](random_fasta(500)))
        middle = len(data) // 2
        data[middle : middle + 8] = bytes(byte ^ 0xFF for byte in data[middle : middle + 8])
        assert "damaged" in refusal(file(bytes(data)))

    @pytest.mark.parametrize("character", list("EF.!?0@é>"))
    def test_characters_that_are_no_nucleotides(self, file: MakeFile, character: str) -> None:
        content = f"\n\n>good\nACGT\n\n>bad\nACGTA\nCGTA{character}CGT\n"
        message = refusal(file(content.encode()))
        assert f"record 2 (line 6): 'bad' holds {character!r} at base 10" in message
        content = f"@good\nA\n+\nI\n@bad\nAC{character}\n+\nIII\n"
        if character.isascii():
            assert f"record 2 (line 5): 'bad' holds {character!r} at base 3" in refusal(file(content.encode()))

    def test_every_allowed_character(self, file: MakeFile) -> None:
        letters = b"ACGTURYSWKMBDHVNXacgturyswkmbdhvnx-*"
        assert read(file(b">all\n" + letters)) == [Record("all", "", letters)]

    def test_proteins_are_recognised(self, file: MakeFile) -> None:
        assert "a protein sequence?" in refusal(file(b">sp|P69905|HBA_HUMAN\nMVLSPADKTNVKAAWGKVGAHAGEYGAEALE\n"))

    def test_blanks_before_the_sign_of_a_header(self, file: MakeFile) -> None:
        assert "one of records 1 to 2 has blanks before its `>`" in refusal(file(b">a\nAC\n >b\nAC\n>c\nA\n"))

    @pytest.mark.parametrize(
        ("content", "place"),
        [
            (b"@a\nACGT\n+\nIIII\n@b\nACGT\n+\nII\n", "record 2 (line 8)"),
            (b"@a\nACGT\n+\nIIII\n@b\nACGT\n+\n", "record 2 (line"),
            (b"\n@a\nACGT\nACGT\n+\nIIII\nIIII\n", "record 1 (line 4)"),
            (b"@a\nACGT\n+\nIIII\n>b\nACGT\n>c\nACGT\n", "record 2 (line 5)"),
        ],
    )
    def test_broken_fastq(self, file: MakeFile, content: bytes, place: str) -> None:
        assert place in refusal(file(content))

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (b"", b"\xef\xbb\xbf"),
            (b"", b" "),
            (b"LOCUS", b"Locus"),
            (b"LOCUS       c2", b"DEFINITION  c2"),
            (b"LOCUS       c2", b">c2\nACGT\nLOCUS       c2"),
            (b"LOCUS       c2", b"LOCUS  c2"),
        ],
    )
    def test_nothing_between_genbank_records_is_skipped(self, file: MakeFile, before: bytes, after: bytes) -> None:
        first, second = genbank("c1"), genbank("c2").replace(before, after, 1)
        line = first.count(b"\n") + 1
        assert f"record 2 (line {line})" in refusal(file(first + second))
        assert "record 2" in refusal(file(first + second + first))

    def test_nothing_within_genbank_records_is_skipped(self, file: MakeFile) -> None:
        first, line = genbank("c1"), genbank("c1").count(b"\n")
        assert f"record 1 (line {line + 1})" not in refusal(file(first.replace(b"//\n", b"") + genbank("c2")))
        assert f"(line {line})" in refusal(file(first.replace(b"//\n", b"") + genbank("c2")))
        for text in (b">x\n//\n", b"ACGT\n//\n", b">x\nACGTACGT\n//\n", b"@x\nA\n+\nI\n//\n"):
            assert f"(line {line})" in refusal(file(first.replace(b"//\n", text)))
        assert "(line 3)" in refusal(file(b"LOCUS       a\nDEFINITION  a\n>x\nACGT\n//\n" + first))
        assert f"(line {line + 1})" in refusal(file(first + b">x\nACGT\n"))

    def test_genbank_without_sequence_or_end(self, file: MakeFile) -> None:
        record = SeqRecord(Seq("ACGT" * 50), id="X1", annotations={"molecule_type": "DNA"})
        text = io.StringIO()
        write_genbank(record, text, "genbank")
        before, _, _ = text.getvalue().partition("ORIGIN")
        before += "     source          1..200\n"
        assert "holds no sequence" in refusal(file(f"{before}CONTIG      join(Y1:1..200)\n//\n".encode()))
        assert "record 1" in refusal(file(f"{before}ORIGIN\n        1 acgtacgtac acg".encode()))
        assert "record 1" in refusal(file(f"{before}ORIGIN\n        1 acgtacgtac acg\n//\n".encode()))
