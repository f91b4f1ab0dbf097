"""The embedding cache: the same bytes with it and without, whatever writes to it, is killed, or damages it."""

import logging
import multiprocessing
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from tests.helpers import tiny
from tests.helpers.engine_runs import provenance
from tests.helpers.pool_files import write_pool
from tests.helpers.runs import call, virnucpro_command
from virnucpro_kernels.cli.main import app
from virnucpro_kernels.embed.cache import EmbeddingCache, identity
from virnucpro_kernels.embed.deduplicate import find_distinct
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.pool.chunk_fasta import Frames
from virnucpro_kernels.pool.embedding_file import EmbeddingWriter
from virnucpro_kernels.pool.job_record import read_job
from virnucpro_kernels.pool.provenance import encoder_record
from virnucpro_kernels.sequences.arrays import SequenceArray
from virnucpro_kernels.weights.registry import Model

pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = ("00000.nucleotide.h5", "00000.protein.h5")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny.write_model(tmp_path_factory.mktemp("models") / "tiny-500")


def mixed(one: Frames, other: Frames, seed: int = 0) -> Frames:
    """The frames of both, in random order."""
    order = np.random.default_rng(seed).permutation(len(one) + len(other))
    nucleotides = [*one.nucleotides, *other.nucleotides]
    proteins = [*one.proteins, *other.proteins]
    return Frames(
        np.arange(len(order)),
        [f"contig_chunk_{row}F1" for row in range(len(order))],
        SequenceArray.from_list([nucleotides[i] for i in order]),
        SequenceArray.from_list([proteins[i] for i in order]),
    )


def embed(folder: Path, frames: Frames, model: Model, **options: Any) -> dict[str, Any]:
    """Embed a pool of these frames in `folder`; return the job's record. The files lie in `folder`."""
    manifest = folder / "pool" / "chunks.tsv"
    if not manifest.exists():
        write_pool(folder / "pool", frames)
    options = {"model": model.directory, "device": "cpu"} | options
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    files = ["--nucleotide", str(folder / NAMES[0]), "--protein", str(folder / NAMES[1])]
    app(["embed", str(manifest), "--chunk", "00000", *files, *words], standalone_mode=False)
    record = read_job(folder / "00000.embed.json")
    assert record is not None
    return record


def cache_files(cache: Path) -> list[Path]:
    return sorted(cache.glob("*/*.h5"))


def same_files(one: Path, other: Path) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in NAMES)


@pytest.fixture
def samples(tmp_path: Path, model: Model) -> tuple[Frames, Frames]:
    """Two samples, half of whose distinct sequences they share; `alone` has the files of the second without a cache."""
    shared, one, other = (tiny.frames(90, distinct=60, seed=seed) for seed in (1, 2, 3))
    first, second = mixed(shared, one), mixed(shared, other, seed=1)
    embed(tmp_path / "alone", second, model)
    return first, second


def test_a_second_sample_computes_only_what_is_new_to_the_same_bytes(
    tmp_path: Path, model: Model, samples: tuple[Frames, Frames]
) -> None:
    cache = tmp_path / "cache"
    first = embed(tmp_path / "first", samples[0], model, embedding_cache=cache)
    second = embed(tmp_path / "second", samples[1], model, embedding_cache=cache, token_budget=256)
    for alphabet in ("nucleotide", "protein"):
        assert (first[alphabet]["distinct"], first[alphabet]["cached"]) == (120, 0)
        assert (second[alphabet]["distinct"], second[alphabet]["cached"]) == (120, 60)
    assert 0 < second["protein"]["tokens"] < 0.7 * first["protein"]["tokens"]
    again = embed(tmp_path / "again", samples[1], model, embedding_cache=cache)
    assert (again["protein"]["cached"], again["protein"]["batches"], again["protein"]["canaries"]) == (120, 0, 0)
    assert len(cache_files(cache)) == 4  # the third job had nothing to add
    # A token budget stands in the attributes of a file.
    embed(tmp_path / "alone with this budget", samples[1], model, token_budget=256)
    assert same_files(tmp_path / "second", tmp_path / "alone with this budget")
    assert same_files(tmp_path / "again", tmp_path / "alone")


def test_what_is_computed_in_another_way_has_a_part_of_its_own(
    tmp_path: Path, model: Model, samples: tuple[Frames, Frames]
) -> None:
    cache = tmp_path / "cache"
    embed(tmp_path / "fp32", samples[0], model, embedding_cache=cache)
    other = tiny.write_model(tmp_path / "tiny-500", seed=5)
    others: list[tuple[Model, dict[str, str]]] = [
        (model, {"precision": "reference"}),
        (model, {"embedding_dtype": "float16"}),
        (other, {}),
    ]
    for number, (used, options) in enumerate(others):
        job = embed(tmp_path / str(number), samples[0], used, embedding_cache=cache, **options)
        assert (job["nucleotide"]["cached"], job["protein"]["cached"]) == (0, 0)
    record = encoder_record(provenance()["protein"], "protein")
    same = identity(record, torch.float32, CPU)
    assert identity(replace(record, token_budget=512), torch.float32, CPU) == same
    for changed in (
        replace(record, sha256="dd" * 32),
        replace(record, attention="other"),
        replace(record, encoder="e"),
    ):
        assert identity(changed, torch.float32, CPU) != same


def test_a_stopped_job_uses_both_its_progress_and_the_cache(
    tmp_path: Path, model: Model, samples: tuple[Frames, Frames]
) -> None:
    cache = tmp_path / "cache"
    embed(tmp_path / "first", samples[0], model, embedding_cache=cache)
    folder = tmp_path / "second"
    (folder / NAMES[1]).mkdir(parents=True)  # so the job fails, with all vectors of both
    with pytest.raises(IsADirectoryError):
        embed(folder, samples[1], model, embedding_cache=cache)
    (folder / NAMES[1]).rmdir()
    assert not (folder / NAMES[0]).exists()
    record = embed(folder, samples[1], model, embedding_cache=cache)
    assert (record["nucleotide"]["resumed"], record["nucleotide"]["cached"]) == (120, 0)
    assert (record["protein"]["resumed"], record["protein"]["cached"]) == (0, 60)
    assert same_files(folder, tmp_path / "alone")
    assert embed(tmp_path / "again", samples[1], model, embedding_cache=cache)["nucleotide"]["cached"] == 120


@pytest.mark.parametrize("where", ["index", "vectors", "cut", "empty", "text"])
def test_a_damaged_file_is_noticed_and_removed(
    tmp_path: Path, model: Model, samples: tuple[Frames, Frames], where: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "cache"
    embed(tmp_path / "first", samples[0], model, embedding_cache=cache)
    for path in cache_files(cache):
        content = bytearray(path.read_bytes())
        with h5py.File(path) as file:
            vectors = file["embedding"].id.get_offset()
            index = file["digest"].id.get_chunk_info(0).byte_offset
            row_bytes = file["embedding"].shape[1] * file["embedding"].dtype.itemsize
            count = len(file["embedding"])
        if where == "index":
            content[index] ^= 1
        elif where == "vectors":
            for row in range(count):
                content[vectors + row * row_bytes + row % row_bytes] ^= 1 << row % 8
        damaged = {"cut": bytes(content[:-100]), "empty": b"", "text": b"vectors"}
        path.write_bytes(damaged.get(where, bytes(content)))
    with caplog.at_level(logging.WARNING):
        record = embed(tmp_path / "second", samples[1], model, embedding_cache=cache)
    assert (record["nucleotide"]["cached"], record["protein"]["cached"]) == (0, 0)
    assert same_files(tmp_path / "second", tmp_path / "alone")
    assert caplog.text.count("the file is removed, and its vectors are computed again") == 2
    assert len(cache_files(cache)) == 2


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path, model: Model) -> None:
    cache = tmp_path / "cache"
    samples = [tiny.frames(60, distinct=60, seed=seed) for seed in range(3)]
    for number, sample in enumerate(samples):
        embed(tmp_path / str(number), sample, model, embedding_cache=cache)
        for path in cache_files(cache):
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 3600))
    abandoned, at_work = (cache_files(cache)[0].with_name(f".{process}.{'0' * 32}.h5") for process in (1, 2))
    for path, age in ((abandoned, 90_000), (at_work, 3_600)):
        path.touch()
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age))
    assert embed(tmp_path / "use", samples[0], model, embedding_cache=cache)["protein"]["cached"] == 60
    size = sum(path.stat().st_size for path in cache_files(cache))
    EmbeddingCache(cache, size).evict()
    assert not abandoned.exists()
    assert at_work.exists()
    EmbeddingCache(cache, size * 7 // 10).evict()
    left = [
        embed(tmp_path / f"again {number}", sample, model, embedding_cache=cache)
        for number, sample in enumerate(samples)
    ]
    assert [record["protein"]["cached"] for record in left] == [60, 0, 60]
    EmbeddingCache(cache, 0).evict()
    assert cache_files(cache) == [at_work]


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


def work_with(cache: Path, folder: Path, numbers: range) -> None:
    """Find and keep one chunk after the other, each of which has sequences of the others."""
    record = encoder_record(provenance()["protein"], "protein")
    for number in numbers:
        distinct = find_distinct(SequenceArray.from_list([b"M" * (1 + (number + each) % 50) for each in range(25)]))
        lengths = distinct.sequences.lengths.astype(np.float32)
        expected = np.repeat(lengths[:, None], tiny.PROTEIN_DIMENSION, axis=1)
        part = EmbeddingCache(cache, 60_000).part(record, torch.float32, CPU)
        known = part.find(distinct)
        np.testing.assert_array_equal(known.vectors, expected[known.numbers] if len(known) else known.vectors)
        path = folder / f"{os.getpid()}-{number}.h5"
        with EmbeddingWriter(path, len(distinct), np.float32, provenance()["protein"]) as writer:
            writer.write(np.arange(len(distinct)), expected)
        part.keep(path)


def test_many_processes_share_a_cache_that_is_too_small_for_them(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    EmbeddingCache(cache, 1).check()
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=work_with, args=(cache, tmp_path, range(start, start + 40))) for start in (0, 10, 20, 30)
    ]
    for process in processes:
        process.start()
    processes[0].join(0.5)
    processes[0].kill()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes[1:]] == [0, 0, 0]
    work_with(cache, tmp_path, range(1))
    assert sum(path.stat().st_size for path in cache_files(cache)) <= 60_000


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
    tmp_path: Path, model: Model, samples: tuple[Frames, Frames], caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "cache"
    embed(tmp_path / "first", samples[0], model, embedding_cache=cache)
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
    tmp_path: Path, model: Model, samples: tuple[Frames, Frames], caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "cache"
    embed(tmp_path / "first", samples[0], model, embedding_cache=cache)
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
    tmp_path: Path, model: Model, samples: tuple[Frames, Frames]
) -> None:
    cache = tmp_path / "cache"
    embed(tmp_path / "first", samples[0], model, embedding_cache=cache)
    closed, _ = cache_files(cache)
    closed.chmod(0)
    record, said = embed_as_anyone(tmp_path / "second", samples[1], model, cache)
    assert sorted(record[alphabet]["cached"] for alphabet in ("nucleotide", "protein")) == [0, 60]
    assert said.count(f"{closed} is skipped, and its vectors are computed: [Errno 13]") == 1
    assert same_files(tmp_path / "second", tmp_path / "alone")
    assert closed.exists()


def test_a_damaged_file_that_may_not_be_removed_is_said_to_stay(
    tmp_path: Path, model: Model, samples: tuple[Frames, Frames]
) -> None:
    cache = tmp_path / "cache"
    embed(tmp_path / "first", samples[0], model, embedding_cache=cache)
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
