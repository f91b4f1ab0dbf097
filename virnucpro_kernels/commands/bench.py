"""`virnucpro bench`: how fast the encoders run here, and how near that is to what the hardware could do."""

import logging
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

PRESETS = (10, 100, 1_000, 10_000)


def bench(
    encoder: Annotated[
        list[str] | None, typer.Option(help="esm2-8m … esm2-3b, esm2-15b, dnabert-s; may be given again.")
    ] = None,
    workload: Annotated[
        list[str] | None,
        typer.Option(help="Tokens a sequence, `168` or `40-350`; may be given again."),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="With commas: fp32, bf16, fp16, fp8. Default: fp16,fp8 on a GPU, fp32 on a CPU.")
    ] = "",
    preset: Annotated[
        int, typer.Option(help=f"Only so many sequences, once: {', '.join(map(str, PRESETS))}. Fit for a CPU.")
    ] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    token_budget: Annotated[int, typer.Option(min=0, help="Tokens of a batch; 0 for the default.")] = 0,
    sweep_budget: Annotated[bool, typer.Option("--sweep-budget", help="Find the best token budget.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Engine and ceiling in turn, so often.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.0, help="Length of each turn.")] = 10.0,
    reference: Annotated[bool, typer.Option(help="Also the original's way: fair-esm in fp32.")] = True,
    layers: Annotated[bool, typer.Option(help="Also each operation of one layer.")] = True,
    accuracy: Annotated[int, typer.Option(min=0, help="Compare vectors of so many sequences with fp32.")] = 0,
    keep_fp16: Annotated[str, typer.Option(help="In fp8: layers that stay fp16, with commas, from 0.")] = "",
    chunk: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FRAMESxRESIDUES",
            help="Instead: whole chunks by the embed command, file to files, as in 200000x166; may be given again.",
        ),
    ] = None,
    folder: Annotated[Path | None, typer.Option(help="Where model and chunks of --chunk go, and stay.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the embed command.")] = 4,
    json: Annotated[Path | None, typer.Option(help="Write the results here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables here.")] = None,
    compare: Annotated[
        Path | None, typer.Option(help="JSON of an earlier run: exit 1 where something is over 5 % slower.")
    ] = None,
) -> None:
    """Measure the encoders with random weights of the true shapes; no model is needed."""
    import torch

    from virnucpro_kernels.bench.chunk import ChunkSize, measure_chunks
    from virnucpro_kernels.bench.encoders import CONFIGS, Workload
    from virnucpro_kernels.bench.results import Results, best_budgets, describe_machine, slower_rows
    from virnucpro_kernels.bench.results import markdown as to_markdown
    from virnucpro_kernels.bench.run import Plan, run
    from virnucpro_kernels.errors import UsageError
    from virnucpro_kernels.ops.dispatch import check_fp8

    if preset and preset not in PRESETS:
        raise UsageError(f"--preset {preset}: choose from {', '.join(map(str, PRESETS))}")
    on_gpu = torch.cuda.is_available() if device == "auto" else device == "cuda"
    where = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
    encoders = encoder or (["esm2-3b", "dnabert-s"] if on_gpu else ["esm2-8m"])
    precisions = precision.split(",") if precision else (["fp16", "fp8"] if on_gpu else ["fp32"])
    for name in encoders:
        if name not in CONFIGS:
            raise UsageError(f"--encoder {name}: choose from {', '.join(CONFIGS)}")
    if unknown := set(precisions) - {"fp32", "bf16", "fp16", "fp8"}:
        raise UsageError(f"--precision {', '.join(sorted(unknown))}: choose from fp32, bf16, fp16, fp8")
    if "bf16" in precisions and {"fp16", "fp8"} & set(precisions):
        raise UsageError("--precision: measure bf16 in a run of its own, or together with fp32")
    if "fp8" in precisions:
        check_fp8(where)
    logging.getLogger("virnucpro_kernels").setLevel(logging.INFO)

    default = 33_792 if on_gpu else 2_048
    budgets = [token_budget or default]
    if sweep_budget:
        budgets = [default * share // 4 for share in (1, 2, 4, 6, 8, 12)]
    results = Results(describe_machine(where), "virnucpro " + shlex.join(sys.argv[1:]))
    if chunk:
        if folder is None:
            raise UsageError("--chunk: say where model and chunks shall go, with --folder")
        sizes = [ChunkSize.parse(text) for text in chunk]
        for name in [name for name in encoders if name != "dnabert-s"]:
            for kind in precisions:
                results.chunks += measure_chunks(name, kind, sizes, where, folder, threads)
                if json is not None:
                    results.write(json)
        encoders = []
    for name in encoders:
        dnabert = name == "dnabert-s"
        plan = Plan(
            name,
            [kind for kind in precisions if not (dnabert and kind == "fp8")],
            [Workload.parse(text) for text in workload or (["110"] if dnabert else ["168", "52", "40-350"])],
            budgets,
            sequences=preset,
            rounds=1 if preset else rounds,
            seconds=0.0 if preset else seconds,
            ceiling=True,
            reference=reference and not preset and not sweep_budget,
            layers=layers and not sweep_budget and not preset,
            accuracy=accuracy,
            keep=[int(layer) for layer in keep_fp16.split(",") if layer],
        )
        run(plan, where, results)
        if json is not None:
            results.write(json)
    typer.echo(to_markdown(results))
    if markdown is not None:
        markdown.write_text(to_markdown(results))
    if sweep_budget:
        for line in best_budgets(results):
            typer.echo(line)
    if compare is not None:
        slower, compared = slower_rows(results, compare)
        typer.echo(f"compared {compared} of {len(results.rates)} rows with {compare}: {len(slower)} slower")
        for line in slower:
            typer.echo(line)
        if slower:
            raise typer.Exit(1)
