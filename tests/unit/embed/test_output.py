"""Vectors on their way to the disk."""

import errno
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.engine_runs import provenance
from virnucpro_kernels.embed.deduplicate import FanOut, find_distinct
from virnucpro_kernels.embed.output import OutputThread
from virnucpro_kernels.errors import VirnucproError
from virnucpro_kernels.pool.embedding_file import EmbeddingWriter, Vectors
from virnucpro_kernels.sequences.arrays import SequenceArray

COUNT, WIDTH = 34, 1 << 22


def test_saving_many_vectors_is_due_before_it_is_time(tmp_path: Path) -> None:
    saved: list[tuple[int, int]] = []
    due: list[int] = []
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
        for number in range(COUNT):
            output.put(np.zeros((1, WIDTH), np.float16))
            if output.is_due:
                due.append(number)
                output.save(wait=False)
    assert due == [15, 31]  # with 128 MiB
    assert saved == [(0, 16), (16, 16)]


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
            assert output.is_due
            output.save(wait=False)
    assert seen == [False], "nobody puts more while the first results are saved"


@contextmanager
def open_output(
    folder: Path, save: Callable[[int, Vectors], None], save_seconds: float = 0.0
) -> Iterator[OutputThread]:
    """What writes the vectors of distinct sequences and saves them when told."""
    base = provenance()["protein"]
    distinct = find_distinct(SequenceArray.from_list([b"M" * length for length in range(1, COUNT + 1)]))
    fan_out = FanOut(distinct, base.dimension, np.float32)
    with (
        EmbeddingWriter(folder / "p.h5", COUNT, np.float32, base) as writer,
        OutputThread(np.arange(COUNT), fan_out, writer, save, save_seconds) as output,
    ):
        yield output


def vectors(number: int, value: float = 0.0) -> Vectors:
    return np.full((number, provenance()["protein"].dimension), value, np.float32)


def test_what_is_to_be_saved_is_saved_in_spite_of_an_error_elsewhere(tmp_path: Path) -> None:
    failed, saved = threading.Event(), list[tuple[int, int]]()

    def save(first: int, vectors: Vectors) -> None:
        failed.wait(60)
        saved.append((first, len(vectors)))

    def fail() -> None:
        with open_output(tmp_path, save) as output:
            for _ in range(3):
                output.put(vectors(10))
                output.save(wait=False)
            output.put(vectors(4))
            threading.Timer(0.2, failed.set).start()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert saved == [(0, 10), (10, 10), (20, 10)]
    assert not (tmp_path / "p.h5").exists()


def test_an_error_in_writing_is_raised_when_all_is_put_and_nothing_is_saved_after_it(tmp_path: Path) -> None:
    saved = list[tuple[int, int]]()

    def fail() -> None:
        with open_output(tmp_path, lambda first, some: saved.append((first, len(some)))) as output:
            output.put(vectors(10))
            output.save(wait=False)
            output.put(vectors(10, np.nan))
            output.put(vectors(14))
            output.finish(save=True)

    with pytest.raises(VirnucproError, match="not finite"):
        fail()
    assert saved == [(0, 10)]


def test_an_error_in_the_last_saving_is_raised_by_whoever_checks(tmp_path: Path) -> None:
    tried = threading.Event()

    def save(*_: object) -> None:
        tried.set()
        raise OSError(errno.ENOSPC, "full")

    def fail() -> None:
        with open_output(tmp_path, save, save_seconds=3600) as output:
            output.put(vectors(COUNT))
            output.finish(save=True)
            assert tried.wait(60)
            for _ in range(600):
                output.check()
                time.sleep(0.1)

    with pytest.raises(OSError, match="full"):
        fail()
