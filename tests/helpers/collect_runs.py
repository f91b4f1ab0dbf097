"""Contigs of every kind for `collect`, and how tests call it."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.helpers.defaults import thresholds
from tests.helpers.synthetic_pool import Contig, Pool
from virnucpro_kernels.score.collect import collect
from virnucpro_kernels.score.sample_reader import Sources

ODD = [
    Contig('"quoted"', 300, [(0, 300, {0: 9.0, 4: 1.0})], 'a "description", quoted'),
    Contig('mid"quote;semicolon', 640, [(0, 300, {}), (213, 513, {1: 3.0}), (427, 640, {5: -2.0})], "tab\there"),
    Contig("Übergröße_日本|x", 300, [(0, 300, {3: -4.0})], "naïve Ω\x0b end"),
    Contig("NA", 299, [(0, 299, {2: 0.25})], "NA", note="rna"),
    Contig("'single", 2, [], "", "too_short"),
    Contig("nothing", 0, [], "empty record", "empty"),
    Contig("masked", 320, [(0, 300, {}), (160, 320, {})], "", "no_codon"),
    Contig("#hash=1", 149, [(0, 149, {})], "stops"),
    Contig("half", 150, [(0, 150, {})]),
]


def plain(number: int) -> list[Contig]:
    generator = np.random.default_rng(number)
    contigs = []
    for index in range(number):
        windows = [
            (
                start,
                start + 300,
                {int(f): float(generator.normal() * 3) for f in generator.choice(6, generator.integers(4))},
            )
            for start in range(0, 300 * int(generator.integers(1, 5)), 300)
        ]
        contigs.append(Contig(f"c{index}", windows[-1][1], windows, f"number {index}"))
    return contigs


def sources(pool: Pool, sample: str) -> Sources:
    return Sources(pool.contigs, pool.windows, pool.manifest, pool.scores, (pool.inputs[sample],))


def run(pool: Pool, sample: str, output: Path, **options: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {"thresholds": thresholds(), "original_files": "original"}
    collect(sources(pool, sample), sample=sample, model=pool.model, output_dir=output, **defaults | options)
    record: dict[str, Any] = json.loads((output / "run.json").read_text())
    return record
