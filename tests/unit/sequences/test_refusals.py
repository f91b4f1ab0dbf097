"""Sequence files that are refused, and with which message."""

import gzip
import io
import re
from pathlib import Path

import pytest
from Bio.Seq import Seq
from Bio.SeqIO import write as write_genbank
from Bio.SeqRecord import SeqRecord

from tests.helpers.sequence_files import COMPRESSORS, FASTA, MakeFile, genbank, random_fasta, read, refusal
from virnucpro_kernels.sequences.problems import InputError
from virnucpro_kernels.sequences.records import Record


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
