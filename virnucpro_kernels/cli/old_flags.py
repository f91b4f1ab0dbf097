"""Options of the original tool and of the Broad's version 2.0, and what replaces them here."""

from collections.abc import Sequence
from pathlib import Path

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import read_data

#: What replaces each old option, in words that follow "is".
REPLACEMENTS: dict[str, str] = read_data("old_options.toml")


def refuse_old_flags(arguments: Sequence[str]) -> None:
    """Refuse options of the older tools.

    Raises:
        UsageError: there is such an option; the message names the first and what replaces it.
    """
    for argument in arguments:
        if argument == "--":
            return
        name = argument.partition("=")[0]
        if name in REPLACEMENTS:
            raise UsageError(f"{name} of the older tools is {REPLACEMENTS[name]}")


def refuse_old_arguments(inputs: list[Path] | None) -> list[Path] | None:
    """Return the inputs, unless they are the original's `FILE LENGTH MODEL.pth`.

    Raises:
        UsageError: an input is a bare number or a pickled model.
    """
    for path in inputs or ():
        if path.suffix in {".pth", ".pt"}:
            raise UsageError(
                f"{path} is a model of the original tool, not a sequence file; "
                "`virnucpro weights import` takes it in once, then --model NAME uses it"
            )
        if path.name.isdigit() and not path.exists():
            raise UsageError(
                f"{path} is no file; the window length is part of the model: --model virnucpro-300 or virnucpro-500"
            )
    return inputs
