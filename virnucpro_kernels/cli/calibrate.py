"""`virnucpro calibrate`: what makes probabilities of a model's scores."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from virnucpro_kernels.cli.options import ModelsDir, training_option
from virnucpro_kernels.cli.predict import Cores, Device, Gpus, Precision, Profile, Quiet
from virnucpro_kernels.errors import UsageError

#: Parameters of the command that are for one of its two forms.
_OF_RESULTS = ("results", "truth")
_OF_GENOMES = (
    *("genomes", "output_dir", "split", "pieces", "seed"),
    *("device", "gpus", "threads", "precision", "profile", "quiet"),
)
_FORMS = "give --genomes GENOMES_TSV --output-dir DIR, or results of the model: RESULTS --truth TABLE"


def calibrate(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name or folder of the model.")],
    results: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RESULTS",
            help="Folders of runs, or of the results of samples, that the model made; with --truth, in the place of"
            " --genomes.",
        ),
    ] = None,
    *,
    genomes: Annotated[
        Path | None,
        typer.Option(metavar="<genomes.tsv>", help="Table of genomes, as `virnucpro train` takes it, to draw from."),
    ] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option("--output-dir", "-o", help="Folder of the pieces and their results; the same command goes on."),
    ] = None,
    split: Annotated[str, typer.Option(metavar="<name>", help="Split of the table to draw from; not train.")] = "val",
    pieces: Annotated[
        int, typer.Option(min=200, help="Pieces to draw, of 150 to 10,000 bp; fewer take less time and say less.")
    ] = 9000,
    seed: Annotated[
        int, training_option("seed", "Seed of the pieces, and of the split where the table has none, as in training.")
    ],
    truth: Annotated[
        Path | None,
        typer.Option(help="Table of the contigs in RESULTS, with the columns contig and label (virus or host)."),
    ] = None,
    prior: Annotated[
        float, typer.Option(help="Share of viral sequences at which the probabilities are to be right.")
    ] = 0.2,
    models_dir: ModelsDir = None,
    device: Device = None,
    gpus: Gpus = "auto",
    threads: Cores = None,
    precision: Precision = None,
    profile: Profile = None,
    quiet: Quiet = False,
) -> None:
    """Fit what makes probabilities of a model's scores, and write it into the model's directory.

    With --genomes, pieces of genomes that the model was not trained on are drawn and predicted first. RESULTS and
    --truth are for sequences of your own, as those of later samples, of lengths from a read to a long contig. Later
    runs with the model then have other scores; their embeddings stay.

    Example: virnucpro calibrate virnucpro-500 --genomes genomes.tsv -o calibration
    """
    from dataclasses import replace

    from virnucpro_kernels.evaluate import calibrate, calibrate_genomes
    from virnucpro_kernels.run.options import PredictOptions
    from virnucpro_kernels.weights.registry import find_model, write_model

    _refuse_both(context)
    if not (genomes and output_dir) and not (results and truth):
        raise UsageError(f"{_missing(context)}; {_FORMS}")
    calibrate.check_prior(prior)
    found = find_model(model, models_dir)
    calibrate.check_may_calibrate(found, model)
    if genomes and output_dir:
        named = {"device": device, "precision": precision}
        options = PredictOptions(
            directory=output_dir,
            settings={key: value for key, value in named.items() if value is not None},
            gpus=gpus,
            threads=threads,
            profile=profile,
            quiet=quiet,
        )
        drawn = calibrate_genomes.Drawn(genomes, split, pieces, seed)
        calibration = calibrate_genomes.calibrate_on_genomes(found, drawn, options, prior)
    elif results and truth:
        calibration = calibrate.calibrate(found, results, truth, prior, f"in {truth.name}")
    write_model(replace(found, calibration=calibration))
    typer.echo(
        f"{found.name}: calibrated on {calibration.source}, for a share of {calibration.prior:g} of viral sequences\n"
        f"written to {found.directory / 'model.toml'}"
    )


def _refuse_both(context: typer.Context) -> None:
    """Refuse parameters of both forms together.

    Raises:
        UsageError: parameters of both are given.
    """
    of_results, of_genomes = _given(context, _OF_RESULTS), _given(context, _OF_GENOMES)
    if of_results and of_genomes:
        raise UsageError(f"{', '.join(of_results)} and {', '.join(of_genomes)} exclude one another; {_FORMS}")


def _missing(context: typer.Context) -> str:
    """Return which parameter of the form that was begun is not given."""
    for form, needed in ((_OF_RESULTS, _OF_RESULTS), (_OF_GENOMES, _OF_GENOMES[:2])):
        if _given(context, form):
            given = _given(context, needed)
            return f"without {' and '.join(word for word in map(_word, needed) if word not in given)}"
    return "nothing to fit on"


def _given(context: typer.Context, names: Sequence[str]) -> list[str]:
    """Return those of the parameters that stand in the command line, as they are written there."""
    sources = {name: context.get_parameter_source(name) for name in names}
    return [_word(name) for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]


def _word(name: str) -> str:
    return "RESULTS" if name == "results" else f"--{name.replace('_', '-')}"
