"""What precisions cost in accuracy by the length of the sequences; of fp8 also what its corrected biases are good for.

    python -m benchmarks.rounding [--encoder esm2-3b] [--workload 168] [--outliers]

The sequences are random, other than those with which the biases are corrected. On a CPU, fp8 is emulated.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Annotated

import torch
import typer

from benchmarks import command
from benchmarks.reference import plant_outliers, vectors
from benchmarks.results import RoundingAccuracy
from virnucpro_kernels.bench.encoders import PRECISIONS, Batches, Workload, convert, make_batches, make_encoder
from virnucpro_kernels.bench.timing import synchronize
from virnucpro_kernels.cli.bench import Device, Encoders, Json, Precisions, Workloads
from virnucpro_kernels.cli.main import run_app
from virnucpro_kernels.embed.encoders import default_budget
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.models.esm2 import Esm2, TransformerBlock
from virnucpro_kernels.models.precisions import FP8_ATTENTION
from virnucpro_kernels.models.similarity import cosines

log = logging.getLogger("virnucpro_kernels.benchmarks")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

#: Sequences of each length.
_SEQUENCES = 96
_WORKLOADS = ("8", "34", "52", "168", "330", "8-330")


def measure(
    name: str, precisions: list[str], workloads: list[Workload], device: torch.device, *, outliers: bool
) -> Iterator[RoundingAccuracy]:
    """Yield the cosines of each precision with fp32, for all workloads."""
    budget = default_budget("fp16", device)
    encoder = _make(name, device, outliers=outliers)
    samples = [make_batches(each, _SEQUENCES, budget, encoder.config.vocabulary, device) for each in workloads]
    exact = _all_vectors(encoder, samples)
    for precision in precisions:
        for corrected in (False, True) if precision in FP8_ATTENTION else (None,):
            encoder = _make(name, device, outliers=outliers)
            seconds = _convert(encoder, precision, device, corrected=corrected)
            found = _all_vectors(encoder, samples)
            for workload, ours, expected in zip(workloads, found, exact, strict=True):
                of = cosines(ours.numpy(), expected.numpy())
                log.info("%s, corrected %s, %s tokens: %s", precision, corrected, workload, of)
                yield RoundingAccuracy(name, precision, corrected, outliers, str(workload), seconds, *of)


def _make(name: str, device: torch.device, *, outliers: bool) -> Esm2:
    encoder = make_encoder(name, device)
    assert isinstance(encoder, Esm2)
    if outliers:
        plant_outliers(encoder)
    return encoder


def _convert(encoder: Esm2, precision: str, device: torch.device, *, corrected: bool | None) -> float:
    """Convert `encoder`, its biases `corrected` or as they were; return the seconds that it took."""
    synchronize(device)
    started = time.perf_counter()
    if corrected is False:
        encoder.half()
        for block in encoder.blocks:
            assert isinstance(block, TransformerBlock)
            block.to_fp8(attention=FP8_ATTENTION[precision])
    else:
        convert(encoder, precision)
    synchronize(device)
    return time.perf_counter() - started


def _all_vectors(encoder: Esm2, samples: list[Batches]) -> list[torch.Tensor]:
    return [vectors(encoder, batches) for batches in samples]


@app.command()
def main(
    encoder: Encoders = None,
    workload: Workloads = None,
    precision: Precisions = "",
    device: Device = "auto",
    outliers: Annotated[
        bool, typer.Option(help="With three channels much larger than the others, as trained models have them.")
    ] = False,
    json: Json = None,
    markdown: command.Markdown = None,
) -> None:
    """Compare vectors of an ESM-2 of random weights in each precision with those in fp32."""
    run = command.Run.start(device, json, markdown, None)
    wanted = precision.split(",") if precision else ["fp16", "bf16", *FP8_ATTENTION]
    if unknown := [name for name in wanted if name not in PRECISIONS]:
        raise UsageError(f"--precision {','.join(unknown)}: choose from {', '.join(PRECISIONS)}")
    workloads = [Workload.parse(text) for text in workload or _WORKLOADS]
    for name in run.choose_esm2(encoder):
        for found in measure(name, wanted, workloads, run.device, outliers=outliers):
            run.results.rounding.append(found)
            run.save()
    run.finish()


if __name__ == "__main__":
    run_app(app)
