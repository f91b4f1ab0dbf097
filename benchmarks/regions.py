"""Share of `virnucpro collect` that the viral regions take, on contigs with made-up bases and scores.

    python -m benchmarks.regions [--contigs 1000000] [--original-files original none]

Contigs and scores are those of `benchmarks.reporting`; their bases are random. The times are CPU seconds: of `collect`,
and within it of finding the regions, of their table, BED, GFF3 and track of scores, of their sequences, and of the
checksums of these files.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow.parquet as pq

from benchmarks.reporting import write_pool
from virnucpro_kernels.cli.main import app
from virnucpro_kernels.pool.file_names import REGION_BED, REGION_FASTA, REGION_GFF, REGION_TABLE, SCORE_TRACK
from virnucpro_kernels.score import collect
from virnucpro_kernels.score.region_files import RegionFiles
from virnucpro_kernels.score.viral_fasta import ViralFiles
from virnucpro_kernels.weights.registry import find_model

#: Functions that are for regions alone, and the one that makes the checksums of all files.
_PARTS = (
    (collect, "find_regions"),
    (RegionFiles, "add_regions"),
    (RegionFiles, "add_scores"),
    (ViralFiles, "_add_regions"),
)
_CHECKSUMS = (collect, "describe_run")
_FILES = (REGION_TABLE, REGION_BED, REGION_GFF, SCORE_TRACK, REGION_FASTA)
_COLUMNS = (
    *("contigs", "original's files", "`collect`", "found", "table, BED, GFF3", "track", "sequences"),
    *("checksums", "share"),
)
_LINE_BASES = 60


def write_sequences(pool: Path, path: Path) -> None:
    """Write a FASTA file with random bases of the contigs of a pool."""
    contigs = pq.read_table(pool / "contigs.parquet", columns=["contig", "length"]).to_pydict()
    chance = np.random.default_rng(0)
    with path.open("wb") as file:
        for name, length in zip(contigs["contig"], contigs["length"], strict=True):
            bases = np.frombuffer(b"ACGT", np.uint8)[chance.integers(0, 4, length, np.uint8)].tobytes()
            lines = [bases[at : at + _LINE_BASES] for at in range(0, length, _LINE_BASES)]
            file.write(b"\n".join([b">" + name.encode(), *lines, b""]))


def counted(function: Callable[..., Any], name: str, seconds: defaultdict[str, float]) -> Callable[..., Any]:
    """Return the same function, which adds the CPU seconds of its calls to those of `name`."""

    def call(*arguments: Any, **options: Any) -> Any:
        started = time.process_time()
        try:
            return function(*arguments, **options)
        finally:
            seconds[name] += time.process_time() - started

    return call


def measure(pool: Path, sequences: Path, original_files: str, output: Path) -> tuple[float, list[float]]:
    """Return the CPU seconds of `collect`, and of each part of it that is for regions."""
    command: list[str | Path] = [
        *("collect", "--sample", "sample", "--model", "builtin-500", "--original-files", original_files),
        *("--contigs", pool / "contigs.parquet", "--windows", pool / "windows.parquet", "--inputs", sequences),
        *("--manifest", pool / "chunks.tsv", "--scores-dir", pool / "scores", "--output-dir", output),
    ]
    seconds = defaultdict[str, float](float)
    with ExitStack() as replaced:
        for owner, name in (*_PARTS, _CHECKSUMS):
            replaced.enter_context(patch.object(owner, name, counted(getattr(owner, name), name, seconds)))
        started = time.process_time()
        app([str(word) for word in command], standalone_mode=False)
        total = time.process_time() - started
    sizes = {path.name: path.stat().st_size for path in output.iterdir()}
    checksums = seconds[_CHECKSUMS[1]] * sum(sizes[name] for name in _FILES) / sum(sizes.values())
    return total, [*(seconds[name] for _, name in _PARTS), checksums]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contigs", type=int, default=1_000_000)
    parser.add_argument("--original-files", nargs="+", default=["original", "none"])
    arguments = parser.parse_args()
    print(f"| {' | '.join(_COLUMNS)} |\n{'|---' * len(_COLUMNS)}|", flush=True)
    with tempfile.TemporaryDirectory(prefix="virnucpro-bench-") as name:
        folder = Path(name)
        write_pool(folder, arguments.contigs, find_model("builtin-500"))
        write_sequences(folder, folder / "contigs.fa")
        for original_files in arguments.original_files:
            seconds, parts = measure(folder, folder / "contigs.fa", original_files, folder / "results")
            values = " | ".join(f"{value:.2f}" for value in (seconds, *parts))
            share = sum(parts) / seconds
            print(f"| {arguments.contigs:,} | {original_files} | {values} | {share:.1%} |", flush=True)


if __name__ == "__main__":
    main()
