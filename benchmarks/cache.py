"""Cost of the embedding cache: looking vectors up and adding them, with vectors of the real sizes and random values.

    python -m benchmarks.cache [--sequences 100000] [--chunks 4] [--share 0.3] [--folder DIR]

Chunks are added one after the other, each with that share of its sequences from the chunks before. Times are those of
the protein encoder of the released models: 2,560 values in 16 bits. Files are in the page cache of the machine.
"""

import argparse
import shutil
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from virnucpro_kernels.embed.cache import EmbeddingCache
from virnucpro_kernels.embed.deduplicate import Distinct, find_distinct
from virnucpro_kernels.pool.embedding_file import EmbeddingWriter
from virnucpro_kernels.pool.provenance import EncoderRecord, Provenance
from virnucpro_kernels.sequences.arrays import SequenceArray

_DIMENSION, _RESIDUES = 2560, 166
_LETTERS = np.frombuffer(b"ACDEFGHIKLMNPQRSTVWY", np.uint8)
_RECORD = EncoderRecord("esm2-3b", "0" * 64, _DIMENSION, "fp16", "triton", 0)
_PROVENANCE = Provenance("pool", "00000", "500-original", "encoders", "0" * 64, "0" * 64, protein=_RECORD)


def draw(count: int, chance: np.random.Generator) -> list[bytes]:
    """Return random proteins."""
    return [bytes(row) for row in _LETTERS[chance.integers(0, len(_LETTERS), (count, _RESIDUES))]]


def write_embeddings(path: Path, distinct: Distinct, chance: np.random.Generator) -> None:
    """Write a chunk's embedding file with random vectors, as `embed` does before it adds them to the cache."""
    block = chance.standard_normal((4096, _DIMENSION), np.float32).astype(np.float16)
    with EmbeddingWriter(path, len(distinct), np.float16, _PROVENANCE) as writer:
        for start in range(0, len(distinct), len(block)):
            rows = np.arange(start, min(start + len(block), len(distinct)))
            writer.write(rows, block[: len(rows)])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=100_000, help="distinct sequences of a chunk")
    parser.add_argument("--chunks", type=int, default=4)
    parser.add_argument("--share", type=float, default=0.3, help="share of a chunk that earlier ones have")
    parser.add_argument("--folder", type=Path, help="folder of the cache, on the disk to measure; else a temporary one")
    arguments = parser.parse_args()
    chance = np.random.default_rng(0)
    folder = Path(tempfile.mkdtemp(prefix="virnucpro-bench-", dir=arguments.folder))
    cache = EmbeddingCache(folder / "cache", 10**12)
    cache.check()
    print("| chunk | found | to look up | CPU | to add | CPU | added |\n|---|---|---|---|---|---|---|")
    earlier: list[bytes] = []
    try:
        for number in range(arguments.chunks):
            old = round(arguments.share * arguments.sequences) if earlier else 0
            new = draw(arguments.sequences - old, chance)
            chunk = [earlier[index] for index in chance.permutation(len(earlier))[:old]] + new
            shuffled = [chunk[index] for index in chance.permutation(len(chunk))]
            distinct = find_distinct(SequenceArray.from_list(shuffled))
            earlier += new
            write_embeddings(folder / "chunk.h5", distinct, chance)
            part = cache.part(_RECORD, torch.float16, torch.device("cpu"))
            times = [(time.perf_counter(), time.process_time())]
            found = len(part.find(distinct))
            times.append((time.perf_counter(), time.process_time()))
            part.keep(folder / "chunk.h5")
            times.append((time.perf_counter(), time.process_time()))
            (find, find_cpu), (keep, keep_cpu) = (
                (after[0] - before[0], after[1] - before[1]) for before, after in pairwise(times)
            )
            added = 2 * _DIMENSION * (len(distinct) - found) / 1e6
            print(
                f"| {number} | {found:,} of {len(distinct):,} | {find:.2f} s | {find_cpu:.2f} s"
                f" | {keep:.2f} s | {keep_cpu:.2f} s | {added:,.0f} MB |",
                flush=True,
            )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
