"""Vectors on their way to the disk."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.engine_runs import provenance
from virnucpro_kernels.embed.deduplicate import FanOut, find_distinct
from virnucpro_kernels.embed.output import OutputThread
from virnucpro_kernels.pool.embedding_file import EmbeddingWriter, Vectors
from virnucpro_kernels.sequences.arrays import SequenceArray

COUNT, WIDTH = 40, 1 << 20


def test_many_vectors_are_saved_before_it_is_time(tmp_path: Path) -> None:
    saved: list[tuple[int, int]] = []
    base = provenance()["protein"]
    assert base.protein is not None
    wide = replace(base, protein=replace(base.protein, dimension=WIDTH))
    distinct = find_distinct(SequenceArray.from_list([b"M" * length for length in range(1, COUNT + 1)]))
    with (
        EmbeddingWriter(tmp_path / "p.h5", COUNT, np.float16, wide) as writer,
        OutputThread(
            np.arange(COUNT), FanOut(distinct, WIDTH, np.float16), writer,
            lambda first, vectors: saved.append((first, len(vectors))), save_seconds=3600,
        ) as output,
    ):  # fmt: skip
        for _ in range(COUNT):
            output.put(np.zeros((1, WIDTH), np.float16))
    assert saved == [(0, 16), (16, 16)]  # 32 MiB each


def test_few_results_wait_for_the_disk(tmp_path: Path) -> None:
    many, seen = threading.Event(), list[bool]()

    def save_slowly(first: int, _: Vectors) -> None:
        if first == 0:
            seen.append(many.wait(0.3))

    provenance_of_it = provenance()["protein"]
    width = provenance_of_it.dimension
    distinct = find_distinct(SequenceArray.from_list([b"M" * length for length in range(1, COUNT + 1)]))
    with (
        EmbeddingWriter(tmp_path / "p.h5", COUNT, np.float32, provenance_of_it) as writer,
        OutputThread(
            np.arange(COUNT), FanOut(distinct, width, np.float32), writer, save_slowly, save_seconds=0.0
        ) as output,
    ):
        for number in range(COUNT):
            if number > 16:
                many.set()
            output.put(np.zeros((1, width), np.float32))
    assert seen == [False], "nobody puts more while the first results are saved"


@pytest.mark.parametrize("are_all", [True, False])
def test_vectors_are_saved_in_spite_of_a_later_error_once_all_are_there(tmp_path: Path, are_all: bool) -> None:
    failed, saved = threading.Event(), list[tuple[int, int]]()

    def save(first: int, vectors: Vectors) -> None:
        failed.wait(60)
        saved.append((first, len(vectors)))

    provenance_of_it = provenance()["protein"]
    width = provenance_of_it.dimension
    distinct = find_distinct(SequenceArray.from_list([b"M" * length for length in range(1, COUNT + 1)]))

    def fail_later() -> None:
        with (
            EmbeddingWriter(tmp_path / "p.h5", COUNT, np.float32, provenance_of_it) as writer,
            OutputThread(
                np.arange(COUNT), FanOut(distinct, width, np.float32), writer, save, save_seconds=0.0
            ) as output,
        ):  # fmt: skip
            for part in (10, COUNT - 10):
                output.put(np.zeros((part, width), np.float32))
            if are_all:
                output.finish(save=True)
            threading.Timer(0.2, failed.set).start()
            raise KeyError

    with pytest.raises(KeyError):
        fail_later()
    assert saved == [(0, 10), (10, COUNT - 10)][: 2 if are_all else 1]
    assert not (tmp_path / "p.h5").exists()
