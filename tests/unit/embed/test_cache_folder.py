"""The folder of an embedding cache: what else is in it, who may read and write there, and what is damaged."""

import logging
import os
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.helpers import tiny
from tests.helpers.cache_runs import NAMES, cache_files, embed, same_files
from tests.helpers.pool_files import write_pool
from tests.helpers.runs import call, virnucpro_command
from virnucpro_kernels.embed.cache import EmbeddingCache
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.pool.chunk_fasta import Frames
from virnucpro_kernels.pool.job_record import read_job
from virnucpro_kernels.weights.registry import Model

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(name="cache")
def cache_of_the_first_sample(tmp_path: Path, model: Model, samples: tuple[Frames, Frames]) -> Path:
    embed(tmp_path / "first", samples[0], model, embedding_cache=tmp_path / "cache")
    return tmp_path / "cache"


def test_what_another_program_left_is_neither_removed_nor_counted(
    tmp_path: Path, model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "data"
    embed(tmp_path / "first", tiny.frames(20, distinct=20), model, embedding_cache=cache)
    own = cache_files(cache)
    theirs = [
        cache / "images" / "cells.h5",
        cache / "images" / f"{'0' * 32}.h5",
        cache / "images" / f".1.{'0' * 32}.h5",
        own[0].with_name("notes.h5"),
        own[0].with_name(f"{'0' * 32}.copy.h5"),
        own[0].with_name(".1.notes.h5"),
    ]
    (cache / "images").mkdir()
    for path in theirs:
        path.write_bytes(bytes(10_000_000))
        if path.name.startswith("."):
            os.utime(path, (0, 0))
    caplog.clear()
    with caplog.at_level(logging.INFO):
        EmbeddingCache(cache, 10_000_000).evict()
        assert cache_files(cache) == sorted([*own, *theirs])
        assert not caplog.records
        again = embed(tmp_path / "again", tiny.frames(20, distinct=20), model, embedding_cache=cache)
        assert again["protein"]["cached"] == 20
        EmbeddingCache(cache, 0).evict()
    assert cache_files(cache) == sorted(theirs)
    assert "2 files (0.00 GB)" in caplog.text
    assert f"were removed from {cache}" in caplog.text
    assert [record.levelname for record in caplog.records if "removed" in record.message] == ["INFO"]


def test_a_folder_that_a_killed_job_had_just_made_is_used(tmp_path: Path, model: Model) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o2770)
    embed(tmp_path / "first", tiny.frames(20, distinct=20), model, embedding_cache=cache)
    for folder in cache.iterdir():
        for path in folder.iterdir():
            path.unlink()
        folder.chmod(0o700)
    embed(tmp_path / "second", tiny.frames(20, distinct=20), model, embedding_cache=cache)
    for folder in cache.iterdir():
        assert (folder / "made-by.json").exists()
        assert folder.stat().st_mode & 0o7777 == 0o2770
    assert embed(tmp_path / "third", tiny.frames(20, distinct=20), model, embedding_cache=cache)["protein"]["cached"]
    EmbeddingCache(cache, 0).evict()
    assert cache_files(cache) == []


def test_what_is_written_can_be_used_by_whom_the_folder_can(tmp_path: Path, model: Model) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o2770)
    embed(tmp_path / "first", tiny.frames(20, distinct=20), model, embedding_cache=cache)
    for path in cache.rglob("*"):
        assert path.stat().st_mode & 0o7777 == (0o2770 if path.is_dir() else 0o660), path


def test_a_folder_that_cannot_be_one_is_refused(tmp_path: Path, model: Model) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"embedding_cache: .*file cannot be used: .*; name another folder, or none"):
        embed(tmp_path / "first", tiny.frames(20, distinct=20), model, embedding_cache=tmp_path / "file")


def test_a_cache_that_takes_nothing_is_a_warning(
    tmp_path: Path, model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "cache"
    embed(tmp_path / "first", tiny.frames(20, distinct=20), model, embedding_cache=cache)
    for folder in cache.iterdir():
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        folder.touch()  # as good as a full disk, also for root
    with caplog.at_level(logging.WARNING):
        embed(tmp_path / "second", tiny.frames(20, distinct=20), model, embedding_cache=cache)
    assert caplog.text.count("takes no vectors") == 2
    assert same_files(tmp_path / "first", tmp_path / "second")


def test_files_that_cannot_be_read_are_skipped_and_stay(
    tmp_path: Path, model: Model, samples: tuple[Frames, Frames], cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    odd = []
    for path in cache_files(cache):
        odd += [path.with_name(f"{'0' * 32}.h5"), path.with_name(f"{'f' * 32}.h5")]
        odd[-2].mkdir()
        odd[-1].symlink_to("/proc/self/mem")  # opens, and then gives an error instead of bytes, also to root
    with caplog.at_level(logging.WARNING):
        record = embed(tmp_path / "second", samples[1], model, embedding_cache=cache)
        EmbeddingCache(cache, 0).evict()
    assert (record["nucleotide"]["cached"], record["protein"]["cached"]) == (60, 60)
    assert same_files(tmp_path / "second", tmp_path / "alone")
    assert [caplog.text.count(f"{path} is skipped, and its vectors are computed") for path in odd] == [1] * 4
    assert cache_files(cache) == sorted(odd)


def test_a_file_that_holds_something_else_is_removed_as_damaged(
    tmp_path: Path, model: Model, samples: tuple[Frames, Frames], cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = cache_files(cache)
    with h5py.File(one, "w") as file:
        file["digest"] = np.arange(3)
    with h5py.File(other, "r+") as file:
        del file["embedding"]
        file.create_group("embedding")
    with caplog.at_level(logging.WARNING):
        record = embed(tmp_path / "second", samples[1], model, embedding_cache=cache)
    assert (record["nucleotide"]["cached"], record["protein"]["cached"]) == (0, 0)
    assert caplog.text.count("the file is removed, and its vectors are computed again") == 2
    assert "virnucpro predict" not in caplog.text, "no run makes a file of the cache again"


def embed_as_anyone(
    folder: Path, frames: Frames, model: Model, cache: Path, *options: str
) -> tuple[dict[str, Any], str]:
    """Embed as a user whom permissions bind, in a process of its own; return the job's record and what it said."""
    prefix = []
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("needs setpriv, without which permissions do not bind root")
        prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"]
    manifest = write_pool(folder / "pool", frames)
    files = ("--nucleotide", folder / NAMES[0], "--protein", folder / NAMES[1])
    words = virnucpro_command("embed", manifest, "--chunk", "00000", *files, "--model", model.directory)
    ended = call([*prefix, *words, "--device", "cpu", "--threads", "1", "--embedding-cache", cache, *options])
    assert ended.returncode == 0, ended.stderr
    record = read_job(folder / "00000.embed.json")
    assert record is not None
    return record, ended.stderr


def test_a_file_that_only_its_owner_may_read_is_skipped(
    tmp_path: Path, model: Model, samples: tuple[Frames, Frames], cache: Path
) -> None:
    closed, _ = cache_files(cache)
    closed.chmod(0)
    record, said = embed_as_anyone(tmp_path / "second", samples[1], model, cache)
    assert sorted(record[alphabet]["cached"] for alphabet in ("nucleotide", "protein")) == [0, 60]
    assert said.count(f"{closed} is skipped, and its vectors are computed: [Errno 13]") == 1
    assert same_files(tmp_path / "second", tmp_path / "alone")
    assert closed.exists()


def test_a_damaged_file_that_may_not_be_removed_is_said_to_stay(
    tmp_path: Path, model: Model, samples: tuple[Frames, Frames], cache: Path
) -> None:
    damaged, _ = cache_files(cache)
    damaged.write_bytes(b"vectors")
    damaged.parent.chmod(0o555)
    _, said = embed_as_anyone(tmp_path / "second", samples[1], model, cache)
    damaged.parent.chmod(0o755)
    assert "the file cannot be removed (Permission denied), and its vectors are computed again" in said
    assert "the file is removed" not in said
    assert said.count("takes no vectors") == 1
    assert same_files(tmp_path / "second", tmp_path / "alone")
    assert damaged.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to give a file to another user")
def test_files_that_others_keep_stop_no_removal_of_ones_own(tmp_path: Path, model: Model) -> None:
    cache = tmp_path / "cache"
    (cache / "earlier").mkdir(parents=True)
    (cache / "earlier" / "made-by.json").touch()
    theirs, own = (cache / "earlier" / f"{digit * 32}.h5" for digit in "01")
    for path, age in ((theirs, 3_600), (own, 7_200)):
        path.touch()
        os.truncate(path, 2_000_000_000)  # takes no space
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age))
    os.chown(theirs, 65_534, -1)
    os.chown(theirs.parent, 65_534, -1)
    theirs.parent.chmod(0o1777)
    size = ("--embedding-cache-gb", "1")
    _, said = embed_as_anyone(tmp_path / "first", tiny.frames(20, distinct=20), model, cache, *size)
    assert theirs.exists()
    assert not own.exists()
    assert "1 files (2.00 GB)" in said
    assert f"1 old files cannot be removed, one of them: [Errno 1] Operation not permitted: '{theirs}'" in said
    assert "takes no vectors" not in said
    assert len(cache_files(cache)) == 3
