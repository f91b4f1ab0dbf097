"""Viral reads with their qualities: order, pairs, formats."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pysam
import pytest

from tests.helpers.defaults import thresholds
from tests.helpers.synthetic_pool import Contig, write_pool
from virnucpro_kernels.score.collect import collect
from virnucpro_kernels.score.sample_reader import Sources
from virnucpro_kernels.score.viral_reads import ReadFiles

Read = tuple[str, str, str]


def read(name: str, length: int, seed: int) -> Read:
    """Header, sequence and qualities of a read."""
    chance = np.random.default_rng(seed)
    qualities = "".join(chr(33 + quality) for quality in chance.integers(2, 41, length))
    return f"{name} of run {seed}", "".join(chance.choice(list("ACGT"), length)), qualities


def fastq(reads: Sequence[Read]) -> str:
    return "".join(f"@{header}\n{sequence}\n+\n{qualities}\n" for header, sequence, qualities in reads)


def collected(
    directory: Path, names: Sequence[str], logits: Sequence[float | None], inputs: Sequence[Path], files: ReadFiles
) -> tuple[dict[str, str], dict[str, int] | None]:
    """Collect a sample of reads of 200 bases; return the files of reads, and their numbers in the record."""
    contigs = [
        Contig(name, 200, [(0, 200, {} if logit is None else {0: logit})])
        for name, logit in zip(names, logits, strict=True)
    ]
    pool = write_pool(directory / "pool", {"s": contigs})
    sources = Sources(pool.contigs, pool.windows, pool.manifest, pool.scores, tuple(inputs))
    options: dict[str, Any] = {
        "sample": "s",
        "model": pool.model,
        "output_dir": directory / "out",
        "thresholds": thresholds(),
    }
    collect(sources, **options, original_files="none", reads=files)
    found = (directory / "out").glob("*.fastq.gz")
    counts = json.loads((directory / "out" / "run.json").read_text())["counts"]
    return {path.name: gzip.decompress(path.read_bytes()).decode() for path in found}, counts.get("reads")


def test_single_reads_keep_order_and_qualities(tmp_path: Path) -> None:
    names, logits = ["a", "b", "c", "d", "é"], [2.0, -1.0, 0.5, None, 3.0]
    reads = [read(name, 200, seed) for seed, name in enumerate(names)]
    (tmp_path / "x.fq.gz").write_bytes(gzip.compress(fastq(reads).encode()))
    found, counts = collected(tmp_path, names, logits, [tmp_path / "x.fq.gz"], "both")
    assert found == {
        "viral.fastq.gz": fastq([reads[0], reads[2], reads[4]]),
        "host.fastq.gz": fastq([reads[1], reads[3]]),
    }
    assert counts == {"viral": 3, "other": 2, "pairs": 0}


@pytest.mark.parametrize("interleaved", [False, True])
def test_a_pair_has_the_call_of_both_mates_together(tmp_path: Path, interleaved: bool) -> None:
    """By the mean logit: 4 - 1 and 1 + nothing are viral, 1 - 4 and -1 + nothing are not, nothing at all is not."""
    logits: list[tuple[float | None, float | None]] = [(4, -1), (1, None), (1, -4), (None, -1), (None, None), (-2, 3)]
    names = [f"p{place}" for place in range(len(logits))]
    pairs = [(read(f"{n}/1", 200, 2 * i), read(f"{n}/2", 200, 2 * i + 1)) for i, n in enumerate(names)]
    first, second = ([pair[mate] for pair in pairs] for mate in (0, 1))
    chosen = [0, 1, 5]
    if interleaved:
        (tmp_path / "x.fq").write_text(fastq([mate for pair in pairs for mate in pair]))
        found, counts = collected(
            tmp_path,
            [f"{name}/{mate}" for name in names for mate in (1, 2)],
            [logit for pair in logits for logit in pair],
            [tmp_path / "x.fq"],
            "viral",
        )
        assert found == {"viral.fastq.gz": fastq([mate for place in chosen for mate in pairs[place]])}
    else:
        (tmp_path / "1.fq").write_text(fastq(first))
        (tmp_path / "2.fq").write_text(fastq(second))
        found, counts = collected(
            tmp_path,
            [f"{name}/{mate}" for mate in (1, 2) for name in names],
            [*(a for a, _ in logits), *(b for _, b in logits)],
            [tmp_path / "1.fq", tmp_path / "2.fq"],
            "both",
        )
        rest = [place for place in range(len(names)) if place not in chosen]
        for kind, places in (("viral", chosen), ("host", rest)):
            assert found[f"{kind}_R1.fastq.gz"] == fastq([first[place] for place in places])
            assert found[f"{kind}_R2.fastq.gz"] == fastq([second[place] for place in places])
    assert counts == {"viral": 6, "other": 6, "pairs": 6}


def test_reads_without_a_mate_beside_them_have_their_own_call(tmp_path: Path) -> None:
    names = ["a/1", "a/2", "single", "b/2", "c/1", "d", "d_2"]
    logits = [1.0, -4.0, 1.0, 1.0, -1.0, -1.0, 4.0]
    headers = [*names[:-1], "d"]  # the second of two equal names was given a suffix
    reads = [read(header, 200, seed) for seed, header in enumerate(headers)]
    (tmp_path / "x.fq").write_text(fastq(reads))
    found, counts = collected(tmp_path, names, logits, [tmp_path / "x.fq"], "viral")
    assert found == {"viral.fastq.gz": fastq([reads[2], reads[3], reads[5], reads[6]])}
    assert counts == {"viral": 4, "other": 3, "pairs": 2}


def test_two_files_of_other_reads_are_no_pairs(tmp_path: Path) -> None:
    (tmp_path / "1.fq").write_text(fastq([read("a", 200, 0), read("b", 200, 1)]))
    (tmp_path / "2.fq").write_text(fastq([read("a", 200, 2), read("c", 200, 3)]))
    inputs = [tmp_path / "1.fq", tmp_path / "2.fq"]
    found, counts = collected(tmp_path, ["a/1", "b/1", "a/2", "c/2"], [1.0, -4.0, -4.0, 1.0], inputs, "viral")
    assert counts == {"viral": 2, "other": 2, "pairs": 0}
    assert found["viral_R1.fastq.gz"].startswith("@a ")
    assert found["viral_R2.fastq.gz"].startswith("@c ")


def test_reads_of_a_bam_file_are_in_the_orientation_of_the_sequencer(tmp_path: Path) -> None:
    names = ["a", "a", "b"]
    reads = [read(name, 200, seed) for seed, name in enumerate(names)]
    with pysam.AlignmentFile(str(tmp_path / "x.bam"), "wb", header={"HD": {"VN": "1.6"}}) as file:
        for (_, sequence, qualities), name, flag in zip(reads, names, (77, 141 | 0x10, 4), strict=True):
            entry = pysam.AlignedSegment(file.header)
            entry.query_name, entry.flag = name, flag
            turned = sequence[::-1].translate(str.maketrans("ACGT", "TGCA")) if flag & 0x10 else sequence
            entry.query_sequence = turned
            if name == "a":
                entry.query_qualities = pysam.qualitystring_to_array(qualities[:: -1 if flag & 0x10 else 1])
            file.write(entry)
    found, counts = collected(tmp_path, ["a/1", "a/2", "b"], [4.0, -1.0, 1.0], [tmp_path / "x.bam"], "viral")
    expected = [("a/1", *reads[0][1:]), ("a/2", *reads[1][1:]), ("b", reads[2][1], '"' * 200)]
    assert found == {"viral.fastq.gz": fastq(expected)}
    assert counts == {"viral": 3, "other": 0, "pairs": 1}


def test_other_formats_and_none_leave_no_reads(tmp_path: Path) -> None:
    reads = [read("a", 200, 0)]
    (tmp_path / "x.fq").write_text(fastq(reads))
    (tmp_path / "x.fa").write_text(f">a\n{reads[0][1]}\n")
    found, _ = collected(tmp_path, ["a"], [1.0], [tmp_path / "x.fq"], "both")
    assert set(found) == {"viral.fastq.gz", "host.fastq.gz"}
    assert collected(tmp_path, ["a"], [1.0], [tmp_path / "x.fq"], "none") == ({}, None)
    assert collected(tmp_path, ["a"], [1.0], [tmp_path / "x.fa"], "both") == ({}, None)
