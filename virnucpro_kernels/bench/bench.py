"""The whole of `virnucpro bench`: check the options, measure, print, compare."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from virnucpro_kernels.bench.options import BenchOptions, check_files, find_device, plan_measurements
from virnucpro_kernels.bench.results import (
    Results,
    best_budgets,
    compare,
    describe_command,
    describe_machine,
    read_rates,
)
from virnucpro_kernels.bench.run import measure_plan
from virnucpro_kernels.ops.prepare import prepare


def bench(options: BenchOptions, *, json: Path | None, earlier: Path | None, say: Callable[[str], object]) -> bool:
    """Measure and print.

    Args:
        options: Options of the measurement.
        json: File for the results; written after each encoder.
        earlier: JSON of an earlier run to compare with.
        say: Function that prints a line.

    Returns:
        Whether no figure is more than 5 % worse than in the earlier run.

    Raises:
        UsageError: an option is wrong, or the earlier run cannot be compared.
        GpuMemoryError: not even batches of the first token budget fit into the GPU's memory.
    """
    check_files(json)
    device = find_device(options.device)
    prepare(device)
    plans = plan_measurements(options, device)
    before = read_rates(earlier) if earlier else {}
    logging.getLogger("virnucpro_kernels").setLevel(logging.INFO)
    results = Results(describe_machine(device), describe_command("virnucpro"))
    for plan in plans:
        results.rates += measure_plan(plan, device)
        if json is not None:
            results.write(json)
    say(results.table())
    if options.sweep_budget:
        say("\n".join(best_budgets(results.rates)))
    if earlier is None:
        return True
    lines, worse = compare(results.rates, before, earlier)
    say("\n".join(lines))
    return not worse
