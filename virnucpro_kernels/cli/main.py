"""The `virnucpro` command: one subcommand a stage, each in its own module of `virnucpro_kernels.cli`."""

import logging
import sys

import typer

from virnucpro_kernels.cli import (
    bench,
    check,
    classify,
    collect,
    compare,
    doctor,
    embed,
    frames,
    import_,
    init,
    merge,
    predict,
    split,
    verify,
    weights,
)
from virnucpro_kernels.cli.options import Version
from virnucpro_kernels.errors import InterruptedRunError, UsageError, VirnucproError

app = typer.Typer(
    name="virnucpro",
    help="Find viral sequences among short contigs and reads.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


# The base of all usage errors; some versions of typer carry click within them and do not export it.
_ClickException: type[Exception] = next(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException"
)


@app.callback()
def _global_options(version: Version = False) -> None:
    pass


app.command("bench")(bench.bench)
app.command("check")(check.check)
app.command("classify")(classify.classify)
app.command("collect")(collect.collect)
app.command("compare")(compare.compare)
app.command("doctor")(doctor.doctor)
app.command("embed")(embed.embed)
app.command("frames")(frames.frames)
app.command("import")(import_.import_)
app.command("init")(init.init)
app.command("merge")(merge.merge)
app.command("predict", cls=predict.PredictCommand)(predict.predict)
app.command("split")(split.split)
app.command("verify")(verify.verify)
app.add_typer(weights.app, name="weights")


def main() -> None:
    """Run the `virnucpro` command and exit."""
    run_app(app)


def run_app(app: typer.Typer) -> None:
    """Run a command line and exit: user errors become one or two lines on standard error and their exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
    try:
        code = app(standalone_mode=False)
        if code == 130:  # typer's return value after a KeyboardInterrupt
            typer.echo("interrupted", err=True)
    except InterruptedRunError as interruption:
        typer.echo(f"interrupted: {interruption}", err=True)
        code = interruption.exit_code
    except VirnucproError as error:
        typer.echo(f"error: {error}", err=True)
        code = error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        typer.echo("interrupted", err=True)
        code = 130
    except _ClickException as error:
        error.show()  # type: ignore[attr-defined]
        code = UsageError.exit_code
    sys.exit(code or 0)
