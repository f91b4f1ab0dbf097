"""The `virnucpro` command: one subcommand a stage, each in its own module of `virnucpro_kernels.cli`."""

import errno
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
    help="Find viral sequences among short contigs and reads."
    "\n\nExample: [bold]virnucpro predict contigs.fa.gz --output-dir out --model builtin-500[/bold]",
    epilog="Exit codes: 0 done; 1 failed; 2 some samples failed; 3 damaged file; 4 too little GPU memory; 5 wrong usage"
    " or input; 130 interrupted.",
    context_settings={"help_option_names": ["-h", "--help"]},
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


#: Headings of the help, in the order in which a user meets the commands.
_RUN, _MODELS, _STAGES, _DEVELOP = "Run and look", "Models", "Single stages, as the workflow runs them", "Measure"
app.command("predict", cls=predict.PredictCommand, rich_help_panel=_RUN)(predict.predict)
app.command("check", rich_help_panel=_RUN)(check.check)
app.command("init", rich_help_panel=_RUN)(init.init)
app.command("verify", rich_help_panel=_RUN)(verify.verify)
app.command("compare", rich_help_panel=_RUN)(compare.compare)
app.command("import", rich_help_panel=_RUN)(import_.import_)
app.command("doctor", rich_help_panel=_RUN)(doctor.doctor)
app.add_typer(weights.app, name="weights", rich_help_panel=_MODELS)
app.command("frames", rich_help_panel=_STAGES)(frames.frames)
app.command("split", rich_help_panel=_STAGES)(split.split)
app.command("embed", rich_help_panel=_STAGES)(embed.embed)
app.command("merge", rich_help_panel=_STAGES)(merge.merge)
app.command("classify", rich_help_panel=_STAGES)(classify.classify)
app.command("collect", rich_help_panel=_STAGES)(collect.collect)
app.command("bench", rich_help_panel=_DEVELOP)(bench.bench)


#: Errors of the operating system about a file or folder that the user named.
_WRONG_PATH = {
    *(errno.ENOENT, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENAMETOOLONG, errno.ELOOP),
}


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
    except OSError as error:
        path = f"{error.filename} cannot be used: " if error.filename is not None else ""
        typer.echo(f"error: {path}{error.strerror or error}", err=True)
        code = UsageError.exit_code if error.errno in _WRONG_PATH else VirnucproError.exit_code
    except UnicodeEncodeError as error:
        typer.echo(f"error: {error.object!a} is not UTF-8, which names of files and folders have to be", err=True)
        code = UsageError.exit_code
    except (typer.Abort, KeyboardInterrupt):
        typer.echo("interrupted", err=True)
        code = 130
    except _ClickException as error:
        error.show()  # type: ignore[attr-defined]
        code = UsageError.exit_code
    sys.exit(code or 0)
