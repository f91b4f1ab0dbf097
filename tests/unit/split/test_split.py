"""Split: a pool equals that of the plain version of the original's rules, whatever threads, blocks and buffers."""

import gzip
import json
import os
import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pandas as pd
import pysam
import pytest

from tests.helpers.defaults import split_options
from tests.helpers.reference_frames import frames as reference_frames
from tests.helpers.reference_frames import has_codon
from tests.helpers.reference_frames import windows as reference_windows
from tests.helpers.split_runs import GEOMETRY, contents, random_contigs, run, split, write_fasta
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import sha256
from virnucpro_kernels.pool.chunk_fasta import Frames, read_frames
from virnucpro_kernels.pool.geometry import Geometry
from virnucpro_kernels.pool.labels import FRAME_NAMES
from virnucpro_kernels.pool.manifest import read_manifest
from virnucpro_kernels.sequences.problems import InputError
from virnucpro_kernels.split.split import split_pool


def chunk_frames(folder: Path) -> list[Frames]:
    names = [chunk.chunk for chunk in read_manifest(folder / "chunks.tsv")]
    return [read_frames(folder / "chunks" / f"{name}.fna", folder / "chunks" / f"{name}.faa") for name in names]


def status_of(sequence: str, min_length: int) -> str:
    if not sequence:
        return "empty"
    if len(sequence) < max(3, min_length):
        return "too_short"
    windows = [sequence[start:end] for start, end in reference_windows(len(sequence), GEOMETRY.window_length)]
    if any(reference_frames(window) for window in windows):
        return "scored"
    return "no_open_frame" if any(has_codon(window) for window in windows) else "no_codon"


@pytest.mark.parametrize("min_length", [0, 55])
def test_a_pool_holds_what_the_rules_say(tmp_path: Path, min_length: int) -> None:
    samples = {"one": random_contigs(1, 150), "two": random_contigs(2, 50)}
    inputs = [write_fasta(tmp_path / f"{name}.fa", contigs) for name, contigs in samples.items()]
    summary = split(tmp_path / "pool", *inputs, min_length=min_length, min_chunks=5)

    expected_contigs: list[tuple[str, str, str, int, str, int, str]] = []
    expected_windows: list[tuple[int, int, int, int, int]] = []
    expected_frames: dict[int, tuple[str, str, str]] = {}
    for sample, contigs in samples.items():
        for contig, description, written in contigs:
            sequence, note = written.replace("U", "T"), "rna" if "U" in written else ""
            status = status_of(sequence, min_length)
            windows = [] if status in ("empty", "too_short") else reference_windows(len(sequence), 60)
            for number, (start, end) in enumerate(windows, start=1):
                found = reference_frames(sequence[start:end])
                mask = sum(1 << FRAME_NAMES.index(name) for name in found)
                expected_windows.append((len(expected_contigs), start, end, mask, len(expected_frames)))
                for name, texts in found.items():
                    expected_frames[len(expected_frames)] = (f"{contig}_chunk_{number}{name}", *texts)
            expected_contigs.append((sample, contig, description, len(sequence), status, len(windows), note))

    contigs_table = pd.read_parquet(tmp_path / "pool" / "contigs.parquet")
    assert list(contigs_table.itertuples(index=False, name=None)) == expected_contigs
    assert set(contigs_table["status"]) == {"scored", "no_open_frame", "too_short", "no_codon", "empty"}
    assert set(contigs_table["note"]) == {"", "rna"}
    windows_table = pd.read_parquet(tmp_path / "pool" / "windows.parquet")
    assert list(windows_table.itertuples(index=False, name=None)) == expected_windows
    chunks = chunk_frames(tmp_path / "pool")
    found_frames = {
        row: (name, nucleotide.decode(), protein.decode())
        for frames in chunks
        for row, name, nucleotide, protein in zip(
            frames.rows.tolist(), frames.ids, frames.nucleotides, frames.proteins, strict=True
        )
    }
    assert found_frames == expected_frames
    assert sum(map(len, chunks)) == len(expected_frames)
    assert (summary.contigs, summary.windows, summary.frames, summary.chunks) == (
        len(expected_contigs),
        len(expected_windows),
        len(expected_frames),
        len(chunks),
    )
    assert summary.statuses == contigs_table["status"].value_counts().to_dict()


@pytest.mark.parametrize("written", [{"T": "U"}, {"T": "u"}, {"TA": "UA"}])
@pytest.mark.parametrize("fastq", [False, True])
def test_rna_gives_what_its_dna_gives(tmp_path: Path, written: dict[str, str], fastq: bool) -> None:
    contigs = random_contigs(3, 60)
    ((dna, rna),) = written.items()
    pools = []
    for name, (old, new) in {"dna": ("U", "T"), "rna": (dna, rna)}.items():
        texts = [(contig, sequence.replace("U", "T").replace(old, new)) for contig, _, sequence in contigs]
        path = tmp_path / name / "x.fa"
        path.parent.mkdir()
        lines = "@{0}\n{1}\n+\n{2}\n" if fastq else ">{0}\n{1}\n"
        path.write_text("".join(lines.format(contig, text, "I" * len(text)) for contig, text in texts))
        split(tmp_path / name / "pool", path)
        pools.append(contents(tmp_path / name / "pool"))
        del pools[-1]["contigs.parquet"]  # it holds the note
    assert pools[0] == pools[1]
    tables = [pd.read_parquet(tmp_path / name / "pool" / "contigs.parquet") for name in ("dna", "rna")]
    assert tables[0].drop(columns="note").equals(tables[1].drop(columns="note"))
    assert set(tables[0]["note"]) == {""}
    assert set(tables[1]["note"]) == {"", "rna"}


def test_chunks_are_lengths_in_order_and_the_manifest_describes_them(tmp_path: Path) -> None:
    split(tmp_path / "pool", write_fasta(tmp_path / "a.fa", random_contigs(3, 200)), min_chunks=7)
    manifest = read_manifest(tmp_path / "pool" / "chunks.tsv")
    chunks = chunk_frames(tmp_path / "pool")
    assert [chunk.chunk for chunk in manifest] == [f"{number:05d}" for number in range(len(chunks))]
    keys = []
    for chunk, frames in zip(manifest, chunks, strict=True):
        lengths = frames.proteins.lengths
        assert frames.rows.tolist() == sorted(frames.rows.tolist())
        keys.append(sorted(zip(lengths.tolist(), frames.rows.tolist(), strict=True)))
        assert chunk.rows == len(frames)
        assert chunk.protein_tokens == int((lengths + 2).sum())
        assert (chunk.min_residues, chunk.max_residues) == (lengths.min(), lengths.max())
        assert chunk.geometry == "60-original"
        assert chunk.nucleotide_tokens > 2 * chunk.rows
        assert chunk.nucleotide_sha256 == sha256(tmp_path / "pool" / "chunks" / f"{chunk.chunk}.fna")
        assert chunk.protein_sha256 == sha256(tmp_path / "pool" / "chunks" / f"{chunk.chunk}.faa")
    in_order = [key for chunk_keys in keys for key in chunk_keys]
    assert in_order == sorted(in_order)
    tokens = [chunk.protein_tokens for chunk in manifest]
    assert max(tokens) - min(tokens) <= 2 * (manifest[-1].max_residues + 2)
    assert max(tokens) <= 3000 + manifest[-1].max_residues + 2


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Contigs of several blocks."""
    folder = tmp_path_factory.mktemp("large")
    rng = random.Random(5)
    contigs = [(f"c{i}", "", "".join(rng.choices("ACGGCCTA", k=rng.randrange(400, 900)))) for i in range(8_000)]
    write_fasta(folder / "large.fa", contigs)
    split(folder / "pool", folder / "large.fa", geometry=Geometry(300, "original"), chunk_tokens=200_000)
    assert len(read_manifest(folder / "pool" / "chunks.tsv")) > 1
    return folder


def test_processes_do_not_change_a_byte(large: Path, tmp_path: Path) -> None:
    split(tmp_path, large / "large.fa", geometry=Geometry(300, "original"), chunk_tokens=200_000, threads=3)
    assert contents(tmp_path) == contents(large / "pool")


def test_neither_compression_nor_format_nor_lines_change_a_byte(large: Path, tmp_path: Path) -> None:
    lines = (large / "large.fa").read_text().splitlines()
    compressed = tmp_path / "large.fa.gz"
    compressed.write_bytes(gzip.compress((large / "large.fa").read_bytes(), 1))
    fastq = tmp_path / "large.fq"
    fastq.write_text(
        "".join(f"@{h[1:]}\n{s}\n+\n{'I' * len(s)}\n" for h, s in zip(lines[0::2], lines[1::2], strict=True))
    )
    wrapped = tmp_path / "large.fasta"
    wrapped.write_text(
        "".join(line + "\r\n" if line[0] == ">" else f"{line[:70]}\r\n{line[70:]}\r\n" for line in lines)
    )
    unaligned = tmp_path / "large.bam"
    with pysam.AlignmentFile(str(unaligned), "wb", header={"HD": {"VN": "1.6"}}) as bam:
        for header, sequence in zip(lines[0::2], lines[1::2], strict=True):
            record = pysam.AlignedSegment(bam.header)
            record.query_name, record.flag, record.query_sequence = header[1:].strip(), 4, sequence
            bam.write(record)
    for path in (compressed, fastq, wrapped, unaligned):
        pool = tmp_path / f"pool_of_{path.suffix}"
        split(pool, path, geometry=Geometry(300, "original"), chunk_tokens=200_000)
        assert contents(pool) == contents(large / "pool"), path


def test_the_number_of_chunks_changes_no_frame(large: Path, tmp_path: Path) -> None:
    split(tmp_path / "pool", large / "large.fa", geometry=Geometry(300, "original"), chunk_tokens=10**9, min_chunks=40)
    frames: list[dict[int, tuple[str, bytes, bytes]]] = [
        {
            int(row): (name, nucleotide, protein)
            for chunk in chunk_frames(folder)
            for row, name, nucleotide, protein in zip(
                chunk.rows, chunk.ids, chunk.nucleotides, chunk.proteins, strict=True
            )
        }
        for folder in (large / "pool", tmp_path / "pool")
    ]
    assert frames[0] == frames[1]
    assert len(read_manifest(tmp_path / "pool" / "chunks.tsv")) == 40
    tables = ("contigs.parquet", "windows.parquet")
    assert [sha256(tmp_path / "pool" / table) for table in tables] == [
        sha256(large / "pool" / table) for table in tables
    ]


@pytest.mark.parametrize("text", ["", ">only\n", ">short\nAC\n>n\nNNNNNN\n"])
def test_a_pool_without_frames(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.fa").write_text(text)
    summary = split(tmp_path / "pool", tmp_path / "a.fa", min_chunks=4)
    assert (summary.frames, summary.chunks) == (0, 0)
    assert read_manifest(tmp_path / "pool" / "chunks.tsv") == []
    assert list((tmp_path / "pool" / "chunks").iterdir()) == []
    contigs = pd.read_parquet(tmp_path / "pool" / "contigs.parquet")
    assert contigs["contig"].tolist() == [line[1:] for line in text.split("\n") if line[:1] == ">"]
    assert len(summary.warnings) == (text in ("", ">only\n"))


def test_fewer_frames_than_chunks(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(">a\nACG\n")
    split(tmp_path / "pool", tmp_path / "a.fa", min_chunks=100)
    assert [chunk.rows for chunk in read_manifest(tmp_path / "pool" / "chunks.tsv")] == [1, 1]


@contextmanager
def few_open_files(more: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    in_use = max(int(name.name) for name in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_more_chunks_than_files_may_be_open(tmp_path: Path) -> None:
    path = write_fasta(tmp_path / "a.fa", random_contigs(6, 300))
    with few_open_files(20):
        split(tmp_path / "pool", path, min_chunks=150)
    assert len(read_manifest(tmp_path / "pool" / "chunks.tsv")) == 150
    assert sum(map(len, chunk_frames(tmp_path / "pool"))) > 150


def test_repeated_ids(tmp_path: Path) -> None:
    path = write_fasta(tmp_path / "a.fa", [("x", "", "ACGGCC"), ("y", "", "ACGGCC"), ("x", "", "GGCACC")])
    with pytest.raises(InputError, match="'x'"):
        split(tmp_path / "pool", path)
    assert not (tmp_path / "pool" / "chunks.tsv").exists()
    split(tmp_path / "pool", path, duplicate_ids="suffix", threads=2)
    assert pd.read_parquet(tmp_path / "pool" / "contigs.parquet")["contig"].tolist() == ["x", "y", "x_2"]
    [frames] = chunk_frames(tmp_path / "pool")
    assert sorted({name.partition("_chunk_")[0] for name in frames.ids}) == ["x", "x_2", "y"]
    other = write_fasta(tmp_path / "b.fa", [("x", "", "ACGGCC")])
    split(tmp_path / "both", other, write_fasta(tmp_path / "c.fa", [("x", "", "ACGGCC")]))
    assert pd.read_parquet(tmp_path / "both" / "contigs.parquet")["contig"].tolist() == ["x", "x"]


def test_a_failed_split_leaves_no_manifest_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    good = write_fasta(tmp_path / "a.fa", random_contigs(7, 20))
    split(tmp_path / "pool", good)
    wanted = contents(tmp_path / "pool")
    bad = tmp_path / "bad.fa"
    bad.write_text(">a\nACGGCC\n>b\nACG!\n")
    with pytest.raises(InputError, match=r"bad\.fa, record 2 \(line 3\)"):
        split(tmp_path / "pool", bad, threads=2)
    assert not (tmp_path / "pool" / "chunks.tsv").exists()
    leftover = tmp_path / "pool" / ".123456.chunks"
    leftover.mkdir()
    (leftover / "00000.fna").write_text(">0 of a run that was killed\n")
    (tmp_path / "pool" / ".123456.contigs.parquet").write_text("half a table")
    split(tmp_path / "pool", good)
    assert contents(tmp_path / "pool") == wanted


def test_input_that_changes_between_the_readings_is_refused(tmp_path: Path) -> None:
    path = write_fasta(tmp_path / "a.fa", random_contigs(8, 20))
    calls: list[tuple[int, int]] = []

    def change(done: int, total: int) -> None:
        if not calls:
            write_fasta(path, random_contigs(9, 25))
        calls.append((done, total))

    with pytest.raises(UsageError, match="changed"):
        split_pool([("a", path)], tmp_path / "pool", split_options(GEOMETRY), change)
    assert not (tmp_path / "pool" / "chunks.tsv").exists()


def test_progress_goes_from_start_to_end(large: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    options = split_options(Geometry(300, "original"), chunk_tokens=200_000)
    split_pool([("large", large / "large.fa")], tmp_path, options, lambda *share: told.append(share))
    shares = [done / total for done, total in told]
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.5
    assert shares[-1] == 1


def test_the_command(tmp_path: Path) -> None:
    write_fasta(tmp_path / "a.fa", random_contigs(1, 40))
    write_fasta(tmp_path / "b=c.fa", random_contigs(2, 10))
    result = run(
        *("--window-length", "60", "--output-dir", str(tmp_path / "pool"), "--min-chunks", "3", "--layout", "even"),
        *(f"first={tmp_path / 'a.fa'}", str(tmp_path / "b=c.fa"), "-"),
        stdin=gzip.compress(b">s\nACGGCC\n"),
    )
    assert result.code == 0, result.error
    contigs = pd.read_parquet(tmp_path / "pool" / "contigs.parquet")
    assert contigs["sample"].unique().tolist() == ["first", "b_c", "stdin"]
    assert "contigs  51" in result.output
    assert "in 3 chunks" in result.output
    assert "H200" in result.output
    record = json.loads((tmp_path / "pool" / "split.json").read_text())
    assert (record["state"], record["contigs"], record["geometry"]) == ("complete", 51, "60-even")
    assert record["status"] == contigs["status"].value_counts().to_dict()
    assert record["done"] == record["total"] > 0
    assert {path.name for path in (tmp_path / "pool").iterdir()} == {
        *("contigs.parquet", "windows.parquet", "chunks.tsv", "chunks", "unusable.tsv", "split.json")
    }


def test_two_pipes(tmp_path: Path) -> None:
    pipes = [tmp_path / "one", tmp_path / "two"]
    for pipe, base in zip(pipes, "AG", strict=True):
        os.mkfifo(pipe)
        Thread(target=pipe.write_text, args=(f">{base}\n{base * 30}\n",)).start()
    split(tmp_path / "pool", *pipes)
    assert pd.read_parquet(tmp_path / "pool" / "contigs.parquet")["contig"].tolist() == ["A", "G"]
    [frames] = chunk_frames(tmp_path / "pool")
    assert next(iter(frames.proteins)) == b"K" * 10
    assert sorted(path.name for path in (tmp_path / "pool").iterdir()) == [
        *("chunks", "chunks.tsv", "contigs.parquet", "unusable.tsv", "windows.parquet")
    ]


def test_two_samples_of_one_name_are_refused(tmp_path: Path) -> None:
    path = write_fasta(tmp_path / "a.fa", random_contigs(1, 3))
    result = run("--window-length", "60", "--output-dir", str(tmp_path / "pool"), str(path), f"a={path}")
    assert isinstance(result.error, UsageError)
    assert "'a'" in str(result.error)


def test_the_mates_of_paired_reads_get_their_numbers(tmp_path: Path) -> None:
    first = write_fasta(tmp_path / "first.fa", random_contigs(1, 3))
    second = write_fasta(tmp_path / "second.fa", random_contigs(2, 2))
    single = write_fasta(tmp_path / "single.fa", random_contigs(3, 1))
    paths = [f"a={first}", f"a={second}", f"b={single}"]
    result = run("--window-length", "60", "--output-dir", str(tmp_path / "pool"), *paths)
    assert result.error is None
    assert f"warning: {second}: the file has 2 records, but the first file of its paired reads has 3" in result.output
    table = pd.read_parquet(tmp_path / "pool" / "contigs.parquet").to_dict("list")
    assert table["sample"] == ["a"] * 5 + ["b"]
    assert [contig[-2:] for contig in table["contig"]] == ["/1", "/1", "/1", "/2", "/2", table["contig"][5][-2:]]
    assert not table["contig"][5].endswith(("/1", "/2"))
