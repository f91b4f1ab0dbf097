"""`virnucpro bench`: how fast the encoders run here, and how near that is to what the hardware could do."""

import itertools
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
        str,
        typer.Option(
            help="With commas: fp32, bf16, fp16, fp8 (ESM-2 on a GPU). Default: fp16,fp8 on a GPU, fp32 on a CPU."
        ),
    ] = "",
    preset: Annotated[
        int, typer.Option(help=f"Only so many sequences: {', '.join(map(str, PRESETS))}. Fit for a CPU.")
    ] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    token_budget: Annotated[int, typer.Option(min=0, help="Tokens of a batch; 0 for the default.")] = 0,
    sweep_budget: Annotated[
        bool,
        typer.Option("--sweep-budget", help="Find the best token budget, from a quarter of this to three times it."),
    ] = False,
    rounds: Annotated[
        int | None,
        typer.Option(min=1, help="Engine and ceiling in turn, so often; 5 by default, 1 with --preset."),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Length of each turn; with --chunk, of each encoder alone. 10 by default; with --preset 0, that is"
            " every sequence once.",
        ),
    ] = None,
    reference: Annotated[
        bool | None,
        typer.Option(
            "--reference/--no-reference",
            help="Also the original's way: fair-esm in fp32. By default where fair-esm is installed, except with"
            " --sweep-budget.",
        ),
    ] = None,
    layers: Annotated[
        bool | None,
        typer.Option(
            "--layers/--no-layers", help="Also each operation of one layer. By default, except with --sweep-budget."
        ),
    ] = None,
    accuracy: Annotated[int, typer.Option(min=0, help="Compare vectors of so many sequences with fp32.")] = 0,
    keep_fp16: Annotated[str, typer.Option(help="In fp8: layers that stay fp16, with commas, from 0.")] = "",
    chunk: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FRAMESxRESIDUES",
            help="Instead: whole chunks by the embed command, file to files, as in 200000x166; may be given again.",
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="READS", help="Instead: a whole sample of so many reads, FASTA to tables, as in 1000000."
        ),
    ] = None,
    gpus: Annotated[
        list[int] | None, typer.Option(min=1, help="GPUs of --sample, by default 1; may be given again.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where model, chunks and reads of --chunk and --sample go, and stay.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of the embed command of --chunk; 4 by default.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the results here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables here.")] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            help="JSON of an earlier run: exit 1 where a figure is over 5 % worse. What takes less than a second on a"
            " CPU varies by more: small presets (give them --seconds) and parts of a layer (--no-layers)."
        ),
    ] = None,
) -> None:
    """Measure the encoders with random weights of the true shapes; no model is needed."""
    from virnucpro_kernels.bench import options
    from virnucpro_kernels.bench.chunk import ChunkSize, measure_chunks
    from virnucpro_kernels.bench.comparison import compare as compare_with
    from virnucpro_kernels.bench.comparison import read_figures
    from virnucpro_kernels.bench.encoders import Workload
    from virnucpro_kernels.bench.results import Results, describe_machine
    from virnucpro_kernels.bench.run import Plan, run
    from virnucpro_kernels.bench.sample import measure_samples
    from virnucpro_kernels.bench.tables import best_budgets
    from virnucpro_kernels.bench.tables import markdown as to_markdown
    from virnucpro_kernels.errors import UsageError
    from virnucpro_kernels.ops.prepare import prepare

    if preset and preset not in PRESETS:
        raise UsageError(f"--preset {preset}: choose from {', '.join(map(str, PRESETS))}")
    if not sample:
        options.refuse("goes with --sample", gpus=gpus)
    if not chunk:
        options.refuse("goes with --chunk", threads=threads)
    if sample and not chunk:
        options.refuse("is for --chunk and the encoders alone, not for --sample", seconds=seconds)
    if not (chunk or sample):
        options.refuse("goes with --chunk and --sample", folder=folder)
    else:
        options.refuse(
            "is for the encoders alone, not for --chunk and --sample",
            workload=workload,
            preset=preset,
            token_budget=token_budget,
            sweep_budget=sweep_budget,
            accuracy=accuracy,
            keep_fp16=keep_fp16,
            rounds=rounds,
            reference=reference,
            no_reference=reference is False,
            layers=layers,
            no_layers=layers is False,
        )
    options.check_files(json, markdown)
    where = options.find_device(device)
    prepare(where)
    encoders = options.find_encoders(encoder, where)
    precisions = options.find_precisions(precision, encoders, where)
    layers_kept = options.find_layers(keep_fp16, encoders, precisions)
    if not options.protein_encoders(encoders):
        options.refuse("goes with an ESM-2, and there is none among --encoder", accuracy=accuracy)
    turn = seconds if seconds is not None else 0.0 if preset else 10.0
    before = read_figures(compare) if compare else None
    logging.getLogger("virnucpro_kernels").setLevel(logging.INFO)
    results = Results(describe_machine(where), "virnucpro " + shlex.join(sys.argv[1:]))

    def save() -> None:
        if json is not None:
            results.write(json)

    if chunk or sample:
        place = options.check_folder(folder)
        options.check_whole(encoders)
        sizes = [ChunkSize.parse(text) for text in chunk or ()]
        counts = options.find_gpus(gpus, where) if sample else []
        for name, kind in itertools.product(options.protein_encoders(encoders), precisions):
            for of_chunk in measure_chunks(name, kind, sizes, where, place, threads=threads or 4, seconds=turn):
                results.chunks.append(of_chunk)
                save()
            if sample:
                for of_sample in measure_samples(name, kind, sample, counts, where, place):
                    results.samples.append(of_sample)
                    save()
    else:
        plans = [
            Plan(
                name,
                kinds,
                [Workload.parse(text) for text in workload or options.workloads_of(name)],
                token_budget=token_budget,
                sweep=sweep_budget,
                sequences=preset,
                rounds=rounds or (1 if preset else 5),
                seconds=turn,
                ceiling=True,
                reference=options.find_reference(reference, name, sweep=sweep_budget),
                layers=not sweep_budget if layers is None else layers,
                accuracy=accuracy,
                keep=layers_kept,
            )
            for name in encoders
            if (kinds := options.precisions_of(name, precisions))
        ]
        for plan in plans:
            run(plan, where, results)
            save()
    typer.echo(to_markdown(results))
    if markdown is not None:
        markdown.write_text(to_markdown(results))
    if sweep_budget:
        typer.echo("\n".join(best_budgets(results)))
    if compare is not None and before is not None:
        comparison = compare_with(results, before, compare)
        typer.echo("\n".join(comparison.lines(compare)))
        if comparison.worse:
            raise typer.Exit(1)
