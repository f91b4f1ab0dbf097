"""Split: samples whose file cannot be used are left out of a pool."""

import errno
import gzip
import json
import os
from pathlib import Path
from threading import Thread
from typing import Any

import pandas as pd
import pytest

from tests.helpers.defaults import split_options
from tests.helpers.split_runs import GEOMETRY, contents, random_contigs, run, split, write_fasta
from virnucpro_kernels.pool.manifest import read_manifest
from virnucpro_kernels.pool.unusable import NothingUsableError, forget_split_of_repaired, read_unusable
from virnucpro_kernels.sequences.problems import InputError
from virnucpro_kernels.split.split import split_pool


def bad_files(folder: Path) -> dict[str, Path]:
    """Files that are found unusable when they are opened, read, checked, and when all of their IDs are known."""
    texts = {
        "text": b"no sequences\n",
        "cut": gzip.compress(b">a\nACGGCC\n" * 9999)[:-20],
        "protein": b">a\nACGGCC\n>p\nMKLVEFQ\n",
        "twice": b">x\nACGGCC\n>x\nACGGCC\n",
    }
    for name, text in texts.items():
        (folder / f"{name}.fa").write_bytes(text)
    return {name: folder / f"{name}.fa" for name in texts}


@pytest.mark.parametrize("threads", [1, 2])
def test_unusable_samples_are_left_out_of_a_pool(tmp_path: Path, threads: int) -> None:
    """The other samples are split as if the unusable ones were not there, byte for byte."""
    good = [write_fasta(tmp_path / f"{name}.fa", random_contigs(seed, 60)) for seed, name in enumerate(("a", "b"))]
    bad = bad_files(tmp_path)
    summary = split(
        tmp_path / "pool", bad["text"], good[0], bad["cut"], bad["protein"], good[1], bad["twice"], threads=threads
    )
    split(tmp_path / "alone", *good, threads=threads)
    files, alone = contents(tmp_path / "pool"), contents(tmp_path / "alone")
    assert files.pop("unusable.tsv") != alone.pop("unusable.tsv")
    assert files == alone
    assert summary.contigs == 120
    assert [found.sample for found in summary.unusable] == ["text", "cut", "protein", "twice"]
    for found, fault in zip(summary.unusable, ["not a sequence file", "truncated", "holds 'L'", "'x'"], strict=True):
        assert found.error.startswith(str(bad[found.sample]))
        assert fault in found.error
    table = read_unusable(tmp_path / "pool" / "unusable.tsv")
    assert list(table) == ["text", "cut", "protein", "twice"]
    for name, found in table.items():
        assert not found.repaired([bad[name]])
    assert read_unusable(tmp_path / "alone" / "unusable.tsv") == {}


def test_a_pool_without_any_usable_sample_fails_for_all_that_is_wrong(tmp_path: Path) -> None:
    bad = bad_files(tmp_path)
    with pytest.raises(NothingUsableError) as caught:
        split(tmp_path / "pool", *bad.values())
    assert [found.sample for found in caught.value.unusable] == list(bad)
    assert all(str(path) in str(caught.value) for path in bad.values())
    assert not (tmp_path / "pool" / "chunks.tsv").exists()
    with pytest.raises(InputError) as alone:
        split(tmp_path / "pool", bad["protein"])
    assert not isinstance(alone.value, NothingUsableError)


@pytest.mark.parametrize("names", [["text", "cut", "protein", "twice"], ["protein"]])
def test_a_pool_without_any_usable_sample_may_be_empty(tmp_path: Path, names: list[str]) -> None:
    """As the workflow wants it: the job ends well, and nothing is left to do but to tell each sample its fault."""
    bad = bad_files(tmp_path)
    summary = split(tmp_path / "pool", *(bad[name] for name in names), allow_empty=True)
    assert (summary.contigs, summary.chunks) == (0, 0)
    assert [found.sample for found in summary.unusable] == names
    assert list(read_unusable(tmp_path / "pool" / "unusable.tsv")) == names
    assert read_manifest(tmp_path / "pool" / "chunks.tsv") == []


def test_two_samples_of_one_unusable_file_and_one_from_a_pipe(tmp_path: Path) -> None:
    """What can be read only once is read once, however often the first pass begins anew."""
    bad, pipe = bad_files(tmp_path)["twice"], tmp_path / "pipe"
    os.mkfifo(pipe)
    Thread(target=pipe.write_text, args=(">a\nACGGCC\n",)).start()
    samples = [("one", bad), ("pipe", pipe), ("two", bad)]
    summary = split_pool(samples, tmp_path / "pool", split_options(GEOMETRY), lambda *_: None)
    assert [found.sample for found in summary.unusable] == ["one", "two"]
    assert pd.read_parquet(tmp_path / "pool" / "contigs.parquet")["sample"].tolist() == ["pipe"]


def test_a_failing_disk_is_no_fault_of_the_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = [write_fasta(tmp_path / f"{name}.fa", random_contigs(seed, 5)) for seed, name in enumerate(("a", "b"))]
    opened = Path.open

    def failing(path: Path, *arguments: Any, **options: Any) -> Any:
        if path == good[1]:
            raise OSError(errno.EIO, "Input/output error")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", failing)
    with pytest.raises(InputError, match="Input/output error"):
        split(tmp_path / "pool", *good)
    assert not (tmp_path / "pool" / "chunks.tsv").exists()


def test_a_file_is_repaired_when_it_is_another_one(tmp_path: Path) -> None:
    bad, good = bad_files(tmp_path), write_fasta(tmp_path / "a.fa", random_contigs(1, 5))
    summary = split(tmp_path / "pool", good, bad["twice"])
    [found] = summary.unusable
    manifest = tmp_path / "pool" / "chunks.tsv"
    forget_split_of_repaired(manifest, {"a": [good], "twice": [bad["twice"]]})
    assert manifest.exists()
    state = bad["twice"].stat()
    bad["twice"].write_bytes(b">x\nACGGCC\n>y\nACGGCC\n")
    os.utime(bad["twice"], ns=(state.st_atime_ns, state.st_mtime_ns))
    assert bad["twice"].stat().st_size == state.st_size
    assert found.repaired([bad["twice"]])
    forget_split_of_repaired(manifest, {"a": [good], "twice": [bad["twice"]]})
    assert not manifest.exists()


def test_the_command_names_samples_that_it_leaves_out(tmp_path: Path) -> None:
    good, bad = write_fasta(tmp_path / "a.fa", random_contigs(1, 5)), bad_files(tmp_path)
    pool = tmp_path / "pool"
    options = ("--window-length", "60", "--output-dir", str(pool))
    result = run(*options, str(good), f"spoilt={bad['twice']}")
    assert result.code == 0, result.error
    assert f"error: sample spoilt is left out: {bad['twice']}" in result.output
    record = json.loads((pool / "split.json").read_text())
    assert record["state"] == "complete"
    assert list(record["unusable"]) == ["spoilt"]
    assert run(*options, str(bad["twice"]), str(bad["cut"])).code != 0
    assert list(json.loads((pool / "split.json").read_text())["unusable"]) == ["twice", "cut"]
