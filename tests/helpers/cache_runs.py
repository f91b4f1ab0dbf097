"""Jobs with an embedding cache, and its files."""

from pathlib import Path
from typing import Any

import numpy as np

from tests.helpers.pool_files import write_pool
from virnucpro_kernels.cli.main import app
from virnucpro_kernels.pool.chunk_fasta import Frames
from virnucpro_kernels.pool.job_record import read_job
from virnucpro_kernels.sequences.arrays import SequenceArray
from virnucpro_kernels.weights.registry import Model

NAMES = ("00000.nucleotide.h5", "00000.protein.h5")


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
