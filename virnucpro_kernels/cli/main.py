"""The `virnucpro` command: one subcommand a stage, each in its own module of `virnucpro_kernels.cli`."""

import errno
import logging
import os
import sys
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import typer

from virnucpro_kernels.cli.options import Command, Group, Version
from virnucpro_kernels.errors import InterruptedRunError, UsageError, VirnucproError

app = typer.Typer(
    name="virnucpro",
    cls=Group,
    help="Find viral sequences among short contigs and reads."
    "\n\nExample: virnucpro predict contigs.fa.gz --output-dir out --model compact-500",
    epilog="Exit codes: 0 done; 1 failed; 2 some samples failed; 3 damaged file; 4 too little GPU memory; 5 wrong usage"
    " or input; 130 interrupted.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    add_completion=True,
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


#: Commands by heading of the help, in the order in which a user meets them: each a function in the module of its name.
_COMMANDS = {
    "Run and look": ("predict", "status", "demo", "check", "init", "verify", "compare", "import_", "doctor"),
    "Use results": ("report", "plot", "select", "export"),
    "Models": ("weights", "train", "refseq", "calibrate"),
    "Single stages, as the workflow runs them": (
        *("frames", "split", "embed", "merge", "classify", "collect", "sweep"),
        *("draw", "fit"),
    ),
    "Measure": ("evaluate", "bench"),
}
for _heading, _names in _COMMANDS.items():
    for _name in _names:
        _module = import_module(f"virnucpro_kernels.cli.{_name}")
        if _name == "weights":
            app.add_typer(_module.app, name=_name, rich_help_panel=_heading)
        else:
            _class = getattr(_module, "PredictCommand", Command)
            app.command(_name.rstrip("_"), cls=_class, rich_help_panel=_heading)(getattr(_module, _name))


#: Errors of the operating system about a file or folder that the user named.
_WRONG_PATH = {
    *(errno.ENOENT, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENAMETOOLONG, errno.ELOOP),
}


def main() -> None:
    """Run the `virnucpro` command and exit."""
    if sys.stderr is None:  # closed; what a run says there is in its log too
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 until the process ends
    run_app(app)


def run_app(app: typer.Typer) -> None:
    """Run a command line and exit: user errors become one or two lines on standard error and their exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
    try:
        if any(not word and before != "--label" for before, word in pairwise(sys.argv)):
            # As a path, this would be the working directory; an empty label is that of the tables without one.
            raise UsageError("an argument is empty; perhaps a variable of the shell is not set")
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
