"""Options and defaults that several commands share."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand, TyperGroup

from virnucpro_kernels import __version__


def _without_flag_types(parameters: list[Any]) -> list[Any]:
    """Have the help show no type of value for flags, which take none."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters


class Command(TyperCommand):
    """Command whose help shows types of values for those options only that take a value."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, those of typer's own included."""
        return _without_flag_types(super().get_params(ctx))


class Group(TyperGroup):
    """Group of commands with a help like theirs."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, those of typer's own included."""
        return _without_flag_types(super().get_params(ctx))


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"virnucpro {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print the version and exit.")
]
Model = Annotated[str, typer.Option(help="Name or folder of the model.")]
Encoders = Annotated[
    str,
    typer.Option(
        help="Name of the encoders and the precision that must have made the vectors, as in the folders of a run.",
        metavar="<name>",
    ),
]
FinishedRun = Annotated[
    Path, typer.Argument(metavar="DIR", help="Folder of a run, of its results, or of those of a sample.")
]
ModelsDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder of imported models; `virnucpro weights list` shows the one that is used without.", file_okay=False
    ),
]


class SchemaDefault:
    """Default of an option: that of a key of a configuration, read from its schema only when it is used or shown."""

    def __init__(self, key: str, name: str = "config") -> None:
        self._key, self._name = key, name

    def __call__(self) -> Any:
        """Return the default."""
        from virnucpro_kernels.run.config import schema

        return schema(self._name)["properties"][self._key]["default"]

    def __str__(self) -> str:
        value = self()
        return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def schema_option(key: str, description: str, *, metavar: str | None = None) -> Any:
    """Return a typer option for a key of the configuration: its default and what it may be stand in the schema."""

    def check(value: Any) -> Any:
        from virnucpro_kernels.run.config import complete_config

        complete_config({key: list(value) if isinstance(value, tuple) else value}, "options")
        return value

    return typer.Option(default_factory=SchemaDefault(key), help=description, callback=check, metavar=metavar)


def training_option(key: str, description: str, *, metavar: str | None = None) -> Any:
    """Return a typer option for a key of the configuration of a training, as `schema_option` does for one of a run."""

    def check(value: Any) -> Any:
        from virnucpro_kernels.run.training import complete_training

        complete_training({"genomes": "as given", key: value}, "options")
        return value

    default = SchemaDefault(key, "training")
    return typer.Option(default_factory=default, help=description, callback=check, metavar=metavar)


Layout = Annotated[
    Literal["original", "even", "segments"],
    typer.Option(
        help="Windows as the original places them, or spread evenly, the last one at full length; `segments`: so too,"
        " with the longest stop-free parts of a window as its frames.",
        metavar="<name>",
    ),
]
