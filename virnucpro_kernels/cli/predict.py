"""`virnucpro predict`: the whole workflow by one command."""

from pathlib import Path
from typing import Annotated, Any

import typer

from virnucpro_kernels.cli.old_flags import refuse_old_arguments, refuse_old_flags
from virnucpro_kernels.cli.options import Command, ModelsDir, Version

#: Name under which the context of the command keeps the arguments that follow `--`.
_PASSED_ON = "virnucpro.snakemake"


class PredictCommand(Command):
    """Command that tells users of the older tools what replaces an option, instead of saying that there is none."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse old options, keep what follows `--` for Snakemake, then parse as usual."""
        end = args.index("--") if "--" in args else len(args)
        ctx.meta[_PASSED_ON] = tuple(args[end + 1 :])
        refuse_old_flags(args[:end])
        return super().parse_args(ctx, args[:end])


Inputs = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="INPUT",
        callback=refuse_old_arguments,
        help="FASTA, FASTQ, BAM or GenBank files, also compressed, one for each sample; `-` is standard input."
        " Without any, the run goes on with the samples of the output folder.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="<key=value>",
        help="Any key of the configuration, as in viral_threshold=0.9; may be given several times. It stays in the"
        " folder's configuration for later starts. The message about a wrong key names the page of all keys.",
    ),
]
Precision = Annotated[
    str | None, typer.Option(metavar="<auto|fp32|fp16|bf16|fp8-ff|fp8|reference>", help="Arithmetic of the encoders.")
]
Preset = Annotated[
    str | None,
    typer.Option(metavar="<default|strict|sensitive>", help="Purpose of the calls, for later starts too."),
]
Fdr = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="False discovery rate of the contigs called viral, instead of a threshold; stays as --set does.",
    ),
]
Keep = Annotated[
    list[str] | None,
    typer.Option(metavar="<embeddings|features>", help="Large intermediate files to keep; may be given several times."),
]
Device = Annotated[str | None, typer.Option(metavar="<auto|cpu|cuda>", help="Device that computes the embeddings.")]
Report = Annotated[
    bool | None,
    typer.Option("--report/--no-report", help="Make report.html at the end, or leave it out, for later starts too."),
]
Label = Annotated[
    str | None, typer.Option(help="Name of a second set of tables, which goes to OUTPUT_DIR/results-LABEL.")
]
Gpus = Annotated[
    str, typer.Option(metavar="<auto|n|0,2>", help="GPUs to use: all visible ones, this many of them, or these.")
]
Cores = Annotated[int | None, typer.Option(min=1, help="CPU cores; all by default.")]
Profile = Annotated[str | None, typer.Option(help="Snakemake profile: `slurm`, or a folder of your own.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]


def predict(
    context: typer.Context,
    output_dir: Annotated[Path, typer.Option("--output-dir", "-o", help="Folder of the run; everything goes there.")],
    inputs: Inputs = None,
    samples: Annotated[
        Path | None, typer.Option(help="Sample sheet instead of inputs (columns sample, input; input2 for mates).")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Name or folder of a model; by default the imported virnucpro-500, or else virnucpro-300."),
    ] = None,
    models_dir: ModelsDir = None,
    sweep: Annotated[
        Path | None, typer.Option(help="Table of settings, each of which is run on all samples (docs/sweeps.md).")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Configuration file to start from; options win over it.")] = None,
    settings: Settings = None,
    device: Device = None,
    gpus: Gpus = "auto",
    threads: Cores = None,
    precision: Precision = None,
    preset: Preset = None,
    fdr: Fdr = None,
    label: Label = None,
    report: Report = None,
    profile: Profile = None,
    keep: Keep = None,
    force: Annotated[bool, typer.Option("--force", help="Make everything anew instead of going on.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    quiet: Quiet = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show Snakemake's own output.")] = False,
    no_progress: Annotated[bool, typer.Option("--no-progress", help="Lines now and then instead of a bar.")] = False,
    version: Version = False,
    log_file: Annotated[Path | None, typer.Option(help="Log file; OUTPUT_DIR/logs/snakemake.log by default.")] = None,
) -> None:
    """Find viral sequences: run the whole workflow, or go on with one that was stopped.

    What follows `--` is passed on to Snakemake, such as `-- --set-resources embed:mem_mb=64000`.

    Example: virnucpro predict contigs.fa.gz reads.fastq.gz -o out
    """
    from virnucpro_kernels.run.folder import merge_settings
    from virnucpro_kernels.run.options import PredictOptions
    from virnucpro_kernels.run.predict import predict

    named = {
        "model": model,
        "models_dir": models_dir,
        "device": device,
        "precision": precision,
        "preset": preset,
        "fdr": fdr,
        "label": label,
        "report": report,
        "keep": keep,
        "sweep": sweep,
    }
    options = PredictOptions(
        inputs=tuple(inputs or ()),
        sheet=samples,
        directory=output_dir,
        config=config,
        settings=merge_settings(settings or [], named),
        gpus=gpus,
        threads=threads,
        profile=profile,
        force=force,
        dry_run=dry_run,
        quiet=quiet,
        verbose=verbose,
        bar=not no_progress,
        log=log_file,
        snakemake=context.meta[_PASSED_ON],
    )
    if code := predict(options):
        raise typer.Exit(code)
