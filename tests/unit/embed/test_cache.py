"""The embedding cache: the same bytes with it and without, whatever writes to it, is killed, or damages it."""

import logging
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from tests.helpers import tiny
from tests.helpers.cache_runs import NAMES, cache_files, embed, same_files
from tests.helpers.engine_runs import provenance
from virnucpro_kernels.embed.cache import EmbeddingCache, identity
from virnucpro_kernels.embed.deduplicate import find_distinct
from virnucpro_kernels.pool.chunk_fasta import Frames
from virnucpro_kernels.pool.embedding_file import EmbeddingWriter
from virnucpro_kernels.pool.provenance import encoder_record
from virnucpro_kernels.sequences.arrays import SequenceArray
from virnucpro_kernels.weights.registry import Model

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")


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
