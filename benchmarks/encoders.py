"""The encoders alone, as `virnucpro bench` measures them, and beside it: the original's way, each operation of a layer,
the vectors of lower precisions beside those in fp32.

    python -m benchmarks.encoders [--encoder esm2-3b] [--no-reference] [--no-layers] [--accuracy 1000] [--markdown FILE]
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
import typer

from benchmarks import command
from benchmarks.layer import measure_layer
from benchmarks.reference import (
    Accuracy,
    compare_vectors,
    make_samples,
    measure_outliers,
    measure_reference,
    vectors,
)
from benchmarks.results import Results
from virnucpro_kernels.bench.encoders import CONFIGS, make_encoder
from virnucpro_kernels.bench.options import DNABERT, BenchOptions, plan_measurements
from virnucpro_kernels.bench.results import best_budgets
from virnucpro_kernels.bench.run import Plan, measure_precision
from virnucpro_kernels.cli.bench import (
    Device,
    Encoders,
    Json,
    Precisions,
    Preset,
    Rounds,
    Seconds,
    SweepBudget,
    TokenBudget,
    Workloads,
)
from virnucpro_kernels.cli.main import run_app
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.models.esm2 import Esm2
from virnucpro_kernels.models.precisions import FP8_ATTENTION, NO_FAIR_ESM, has_fair_esm

log = logging.getLogger("virnucpro_kernels.benchmarks")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Extras:
    """What to measure of an encoder beside its rates.

    Attributes:
        reference: Whether the original's way is measured.
        layers: Whether each operation of a layer is measured.
        accuracy: Number of sequences whose vectors are compared with those in fp32.
        keep: Layers (from 0) that stay fp16 in fp8.
    """

    reference: bool
    layers: bool
    accuracy: int
    keep: list[int]


def measure(plan: Plan, extras: Extras, device: torch.device, results: Results) -> None:
    """Measure one encoder and append to `results`."""
    encoder = make_encoder(plan.encoder, device)
    if extras.reference:
        for workload in plan.workloads:
            found = measure_reference(plan.encoder, encoder, workload, plan.seconds, device)
            log.info("%s, the original's way, %s: %.0f tokens/s", plan.encoder, workload, found.tokens_per_second)
            results.references.append(found)
    samples = None
    if extras.accuracy and isinstance(encoder, Esm2):
        samples = make_samples(encoder, plan, extras.accuracy, device)
        exact = vectors(encoder, samples)
    del encoder
    for precision, encoder in plan.encoders(device, keep=extras.keep):
        results.rates += measure_precision(encoder, precision, plan, device)
        if extras.layers:
            results.layers += [measure_layer(encoder, precision, each, plan, device) for each in plan.workloads]
        if samples is not None:
            _note(results, compare_vectors(precision, False, vectors(encoder, samples), exact))
    if samples is not None:
        for accuracy in measure_outliers(plan, samples, device, keep=extras.keep):
            _note(results, accuracy)


def _note(results: Results, found: Accuracy) -> None:
    outliers = ", planted outliers" if found.outliers else ""
    log.info(
        "%s%s: cosine of %d sequences: worst %.8f, mean %.8f, centred mean %.8f",
        *(found.precision, outliers, found.sequences, found.worst, found.mean, found.centred_mean),
    )
    results.accuracy.append(found)


def find_reference(wanted: bool | None, encoder: str, *, sweep: bool) -> bool:
    """Return whether to measure the original's way: by default where it is installed, but not beside a sweep."""
    if wanted is not None or sweep:
        return bool(wanted)
    there = encoder == DNABERT or has_fair_esm()
    if not there:
        log.warning("%s: the original's way is not measured: %s", encoder, NO_FAIR_ESM)
    return there


def find_layers(text: str, plans: Sequence[Plan]) -> list[int]:
    """Return the layers that `text` names, with commas, from 0.

    Raises:
        UsageError: `text` is not of that form, an encoder does not have such a layer, or nothing is measured in fp8.
    """
    if not text:
        return []
    words = text.split(",")
    if not all(word.isdecimal() for word in words):
        raise UsageError(f"--keep-fp16 {text}: must be layers with commas, from 0, as in 0,35")
    layers = [int(word) for word in words]
    for plan in plans:
        if plan.encoder != DNABERT and max(layers) >= CONFIGS[plan.encoder].layers:
            raise UsageError(f"--keep-fp16 {text}: {plan.encoder} has layers 0 to {CONFIGS[plan.encoder].layers - 1}")
    if not any(name in FP8_ATTENTION for plan in plans for name in plan.precisions):
        raise UsageError(f"--keep-fp16 {text}: goes with --precision fp8 or fp8-ff; leave it out")
    return layers


@app.command()
def main(
    encoder: Encoders = None,
    workload: Workloads = None,
    precision: Precisions = "",
    preset: Preset = 0,
    device: Device = "auto",
    token_budget: TokenBudget = 0,
    sweep_budget: SweepBudget = False,
    rounds: Rounds = None,
    seconds: Seconds = None,
    reference: Annotated[
        bool | None,
        typer.Option(
            "--reference/--no-reference",
            help="Also the original's way: fair-esm in fp32. Default: where fair-esm is installed, except with"
            " --sweep-budget.",
        ),
    ] = None,
    layers: Annotated[
        bool | None,
        typer.Option(
            "--layers/--no-layers", help="Also each operation of one layer. Default: except with --sweep-budget."
        ),
    ] = None,
    accuracy: Annotated[int, typer.Option(min=0, help="Compare the vectors of so many sequences with fp32.")] = 0,
    keep_fp16: Annotated[str, typer.Option(help="In fp8: layers that stay fp16, with commas, from 0.")] = "",
    json: Json = None,
    markdown: command.Markdown = None,
    compare: command.Compare = None,
) -> None:
    """Measure the encoders with random weights of the true shapes; no model is needed."""
    run = command.Run.start(device, json, markdown, compare)
    options = BenchOptions(
        encoder or [], workload or [], precision, preset, device, token_budget, sweep_budget, rounds, seconds
    )
    plans = plan_measurements(options, run.device)
    kept = find_layers(keep_fp16, plans)
    if accuracy and all(plan.encoder == DNABERT for plan in plans):
        raise UsageError("--accuracy: goes with an ESM-2, and there is none among --encoder; leave it out")
    for plan in plans:
        extras = Extras(
            reference=find_reference(reference, plan.encoder, sweep=sweep_budget),
            layers=not sweep_budget if layers is None else layers,
            accuracy=accuracy,
            keep=kept,
        )
        measure(plan, extras, run.device, run.results)
        run.save()
    if sweep_budget:
        typer.echo("\n".join(best_budgets(run.results.rates)))
    run.finish()


if __name__ == "__main__":
    run_app(app)
