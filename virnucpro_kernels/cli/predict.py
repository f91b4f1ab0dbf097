"""`virnucpro predict`: the whole workflow by one command."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from virnucpro_kernels.cli.version import print_version
from virnucpro_kernels.errors import UsageError


class PredictCommand(TyperCommand):
    """Tells users of the older tools what has become of an option, instead of saying that there is none."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse old options, then parse as usual."""
        from virnucpro_kernels.cli.old_flags import refuse_old_flags

        refuse_old_flags(args)
        return super().parse_args(ctx, args)


def predict(
    output_dir: Annotated[Path, typer.Option("--output-dir", "-o", help="Folder of the run; everything goes there.")],
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[INPUT…]",
            help="FASTA, FASTQ, BAM or GenBank files, also compressed, a sample each; `-` is standard input."
            " None: go on with the samples of the output folder.",
        ),
    ] = None,
    samples: Annotated[
        Path | None, typer.Option(help="A sample sheet instead of inputs (columns sample, input).")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Name or folder of a model; else the imported virnucpro-* model.")
    ] = None,
    models_dir: Annotated[Path | None, typer.Option(help="Where imported models lie.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="A configuration file to start from; options win over it.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any key of the configuration (config/README.md); repeatable."),
    ] = None,
    device: Annotated[str | None, typer.Option(metavar="auto|cpu|cuda", help="Where embeddings are computed.")] = None,
    gpus: Annotated[str, typer.Option(metavar="auto|N|0,2", help="All visible GPUs, so many, or these.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU cores; all by default.")] = None,
    precision: Annotated[
        str | None, typer.Option(metavar="auto|fp32|fp16|bf16|fp8|reference", help="Arithmetic of the encoders.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="Snakemake profile: `slurm`, or a folder of your own.")] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="embeddings|features", help="Large intermediate files that stay; repeatable."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Make everything anew instead of going on.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing but errors.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show Snakemake's own output.")] = False,
    no_progress: Annotated[bool, typer.Option("--no-progress", help="Lines now and then instead of a bar.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    log_file: Annotated[Path | None, typer.Option(help="The log; OUTPUT_DIR/logs/snakemake.log by default.")] = None,
) -> None:
    """Find viral sequences: run the whole workflow, or go on with one that was stopped."""
    from virnucpro_kernels.cli.old_flags import refuse_old_arguments
    from virnucpro_kernels.run.folder import read_settings
    from virnucpro_kernels.run.options import PredictOptions
    from virnucpro_kernels.run.predict import predict

    if quiet and verbose:
        raise UsageError("--quiet and --verbose: choose one")
    refuse_old_arguments(inputs or [])
    options = {
        "model": model,
        "models_dir": str(models_dir) if models_dir else None,
        "device": device,
        "precision": precision,
        "keep": keep or None,
    }
    request = PredictOptions(
        inputs=tuple(inputs or ()),
        sheet=samples,
        directory=output_dir,
        config=config,
        settings={**read_settings(settings or []), **{k: value for k, value in options.items() if value is not None}},
        gpus=gpus,
        threads=threads,
        profile=profile,
        force=force,
        dry_run=dry_run,
        quiet=quiet,
        verbose=verbose,
        bar=not no_progress,
        log=log_file,
    )
    if code := predict(request):
        raise typer.Exit(code)
