"""`virnucpro bench`: how fast the encoders run here, and how near that is to what the hardware could do."""

from pathlib import Path
from typing import Annotated

import typer

Encoders = Annotated[
    list[str] | None, typer.Option(help="esm2-8m … esm2-3b, esm2-15b or dnabert-s; may be given several times.")
]
Workloads = Annotated[
    list[str] | None,
    typer.Option(help="Tokens of a sequence, such as `168` or `40-350`; may be given several times."),
]
Precisions = Annotated[
    str,
    typer.Option(
        help="fp32, fp16, bf16, fp8-ff, fp8 (the last two: ESM-2 on a GPU), several with commas. Default: fp16,fp8 on"
        " a GPU, fp32 on a CPU."
    ),
]
Preset = Annotated[int, typer.Option(help="Embed only 10, 100, 1000 or 10000 sequences: quick enough for a CPU.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
TokenBudget = Annotated[int, typer.Option(min=0, help="Tokens of a batch; 0 for the default.", hidden=True)]
SweepBudget = Annotated[
    bool, typer.Option("--sweep-budget", help="Measure token budgets from a quarter to three times this one.")
]
Rounds = Annotated[
    int | None, typer.Option(min=1, help="Rounds of engine and ceiling. Default: 5; 1 with --preset.", hidden=True)
]
Seconds = Annotated[
    float | None, typer.Option(min=0.0, help="Seconds of a measurement. Default: 10; 0 with --preset.", hidden=True)
]
Json = Annotated[Path | None, typer.Option(help="File to write the results to, as JSON.")]


def bench(
    encoder: Encoders = None,
    workload: Workloads = None,
    precision: Precisions = "",
    preset: Preset = 0,
    device: Device = "auto",
    token_budget: TokenBudget = 0,
    sweep_budget: SweepBudget = False,
    rounds: Rounds = None,
    seconds: Seconds = None,
    json: Json = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            help="JSON of an earlier run to compare with; exit code 1 where a rate or the memory is over 5 % worse."
        ),
    ] = None,
) -> None:
    """Measure the encoders with random weights of the true shapes; no model is needed.

    Example: virnucpro bench --encoder esm2-650m --precision fp16 --json new.json
    """
    from virnucpro_kernels.bench.bench import bench
    from virnucpro_kernels.bench.options import BenchOptions

    options = BenchOptions(
        encoder or [], workload or [], precision, preset, device, token_budget, sweep_budget, rounds, seconds
    )
    if not bench(options, json=json, earlier=compare, say=typer.echo):
        raise typer.Exit(1)
