"""The options of `virnucpro predict`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from virnucpro_kernels.errors import UsageError

#: Options of Snakemake that this command sets itself, and what to use in their place.
_OURS = dict.fromkeys(("--snakefile", "-s"), "for another workflow, run snakemake itself")
_OURS |= dict.fromkeys(("--directory", "-d"), "use --output-dir")
_OURS |= dict.fromkeys(("--dry-run", "--dryrun", "-n"), "use --dry-run before `--`")
_OURS |= dict.fromkeys(("--config", "-C", "--configfile", "--configfiles"), "use --set or --config before `--`")


@dataclass(frozen=True)
class PredictOptions:
    """Options of one start of `virnucpro predict`.

    Attributes:
        directory: Folder of the run; everything is written there.
        inputs: Sequence files; `-` is standard input.
        sheet: Sample sheet instead of `inputs`.
        config: Configuration file to start from.
        settings: Configuration keys given as options; they win over `config`.
        gpus: `auto`, a number of GPUs, or a list of GPUs as CUDA_VISIBLE_DEVICES takes it.
        threads: CPU cores to use; None for all that this process may use.
        profile: Profile of Snakemake: a folder, or the name of one that comes with the workflow.
        force: Whether everything is made anew.
        dry_run: Whether to say only what would be done.
        quiet: Whether to print errors only.
        verbose: Whether to show Snakemake's own output instead of progress.
        bar: Whether to show a progress bar where standard error is a terminal.
        log: Log of Snakemake's and our own output; None for `logs/snakemake.log` in `directory`.
        calibrates: Whether the results are for a calibration of the model, so that nobody is told to make one.
        snakemake: Arguments that are passed on to Snakemake.

    Raises:
        UsageError: options exclude one another, or Snakemake is to get what this command decides.
    """

    directory: Path
    inputs: tuple[Path, ...] = ()
    sheet: Path | None = None
    config: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    gpus: str = "auto"
    threads: int | None = None
    profile: str | None = None
    force: bool = False
    dry_run: bool = False
    quiet: bool = False
    verbose: bool = False
    bar: bool = True
    log: Path | None = None
    calibrates: bool = False
    snakemake: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.quiet and self.verbose:
            raise UsageError("--quiet and --verbose: choose one")
        for argument in self.snakemake:
            if instead := _OURS.get(argument.partition("=")[0]):
                raise UsageError(f"{argument} cannot be passed on to Snakemake: {instead}")
