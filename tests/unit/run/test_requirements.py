"""What jobs ask for grows with their work."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from virnucpro_kernels.pool.manifest import Chunk
from virnucpro_kernels.run import requirements
from virnucpro_kernels.weights.registry import ClassifierInfo, EncoderInfo, FileInfo, Model

CHUNK = Chunk("00000", 190_000, 32_000_000, 21_000_000, 160, 166, "", "", "500-original")


def encoder(name: str, size: int, hidden: int) -> EncoderInfo:
    return EncoderInfo("x", "", size, "", "", name, "esm2", 1, hidden, 1, 1, 33)


#: The sizes of the released models: ESM-2 3B and DNABERT-S, 16 bit on disk.
RELEASED = Model(
    "virnucpro-500",
    500,
    "original",
    "work",
    "",
    "",
    "",
    Path(),
    encoder("dnabert-s", 234_000_000, 768),
    FileInfo("x", "", 1, "", ""),
    encoder("esm2-3b", 5_700_000_000, 2560),
    ClassifierInfo("x", "", 1, "", "", 3328, 512),
)


def test_an_embedding_job_of_the_released_model_fits_a_common_node() -> None:
    on_gpu = requirements.for_embed(CHUNK, RELEASED, "cuda", 2)
    assert 8_000 < on_gpu.mem_mb < 32_000
    assert 60 < on_gpu.runtime < 24 * 60
    assert on_gpu.disk_mb == pytest.approx(190_000 * 3328 * 2 / 1e6, rel=0.01)


def test_the_cpu_needs_more_time_and_fp32_more_disk() -> None:
    on_gpu, on_cpu = (requirements.for_embed(CHUNK, RELEASED, device, 4) for device in ("cuda", "cpu"))
    assert on_cpu.runtime > 100 * on_gpu.runtime
    assert on_cpu.mem_mb > on_gpu.mem_mb
    assert on_cpu.disk_mb > 1.9 * requirements.for_embed(CHUNK, RELEASED, "cuda", 2).disk_mb


def test_an_embedding_job_has_memory_for_the_sequences_of_its_chunk() -> None:
    long = replace(CHUNK, protein_tokens=CHUNK.protein_tokens + 500_000_000)
    usual, more = (requirements.for_embed(chunk, RELEASED, "cuda", 2).mem_mb for chunk in (CHUNK, long))
    assert more - usual > 4 * 500  # MB: a residue and its codon are four bytes


def test_an_embedding_job_has_memory_for_a_chunk_that_a_cache_has_whole() -> None:
    without, with_cache = (requirements.for_embed(CHUNK, RELEASED, "cuda", 2, has_cache=has) for has in (False, True))
    assert with_cache.mem_mb - without.mem_mb > 190_000 * 3328 * 2 / 1e6


@pytest.mark.parametrize(
    "stage", [requirements.for_merge, partial(requirements.for_classify, model=RELEASED, bytes_per_value=2)]
)
def test_later_stages_grow_with_the_rows(stage: Callable[[Chunk], requirements.Requirements]) -> None:
    small, large = stage(replace(CHUNK, rows=1000)), stage(CHUNK)
    assert small.runtime <= large.runtime
    assert small.disk_mb < large.disk_mb
    assert small.mem_mb < large.mem_mb


def test_22_million_reads_are_split_and_collected_within_a_few_gigabytes(tmp_path: Path) -> None:
    reads = tmp_path / "reads.fa"
    with reads.open("wb") as file:
        file.write(b">")
        file.truncate(22_000_000 * 160)
    assert requirements.for_split([reads]).mem_mb < 8_000
    assert requirements.for_split([reads, reads]).mem_mb > requirements.for_split([reads]).mem_mb
    chunks = [CHUNK] * 100
    assert requirements.for_collect([]).mem_mb < requirements.for_collect(chunks).mem_mb < 8_000


def test_the_tables_of_small_samples_get_one_thread(tmp_path: Path) -> None:
    small, large = tmp_path / "small.fa", tmp_path / "large.fa"
    small.write_text(">a\n" + "ACGT" * 1000)
    large.write_text(">a\n" + "ACGT" * 3_000_000)
    assert requirements.threads_for_collect([small]) == 1
    assert requirements.threads_for_collect([large]) == requirements.threads_for_collect([small, large]) == 4
