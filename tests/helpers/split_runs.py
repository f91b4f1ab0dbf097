"""Pools split here, and contigs of every kind to split."""

import hashlib
import io
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from typer.testing import CliRunner

from tests.helpers.defaults import split_options
from virnucpro_kernels.cli.main import app
from virnucpro_kernels.pool.geometry import Geometry
from virnucpro_kernels.split.split import PoolSummary, split_pool

GEOMETRY = Geometry(60, "original")
ALPHABETS = ["ACGGCC", "ACGGCC", "ACGT", "ACGTNRY-*Uacgt", "acgc", "N", "TA"]

Contig = tuple[str, str, str]


def random_contigs(seed: int, number: int) -> list[Contig]:
    """ID, description and sequence of contigs of every status, of 0 to 200 bases."""
    rng = random.Random(seed)
    contigs = []
    for index in range(number):
        sequence = "".join(rng.choices(rng.choice(ALPHABETS), k=rng.choice([0, 1, 2, 3, 50, 60, 61, 119, 200])))
        contigs.append((f"c{seed}_{index}", rng.choice(["", "a description", 'é "x"; y']), sequence))
    return contigs


def write_fasta(path: Path, contigs: list[Contig]) -> Path:
    text = "".join(f">{contig} {description}\n{sequence}\n" for contig, description, sequence in contigs)
    path.write_text(text, encoding="utf-8")
    return path


def split(folder: Path, *inputs: Path, **options: Any) -> PoolSummary:
    samples = [(path.name.split(".")[0], path) for path in inputs]
    geometry = options.pop("geometry", GEOMETRY)
    chosen = split_options(geometry, **{"chunk_tokens": 3000} | options)
    return split_pool(samples, folder, chosen, lambda done, total: None)


def contents(folder: Path) -> dict[str, str]:
    """Checksum of every file below `folder`."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def run(*arguments: str, stdin: bytes = b"") -> SimpleNamespace:
    result = CliRunner().invoke(app, ["split", *arguments], input=io.BytesIO(stdin).read())
    return SimpleNamespace(code=result.exit_code, output=result.output, error=result.exception)
