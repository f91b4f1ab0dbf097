"""Options and defaults that several commands share."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from virnucpro_kernels import __version__


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"virnucpro {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print the version and exit.")
]
Model = Annotated[str, typer.Option(help="Name or folder of the model.")]
ModelsDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder of imported models; `virnucpro weights list` shows the one that is used without.", file_okay=False
    ),
]


class SchemaDefault:
    """Default of an option: that of a key of the configuration, read from its schema only when it is used or shown."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self) -> Any:
        """Return the default."""
        from virnucpro_kernels.run.config import default

        return default(self._key)

    def __str__(self) -> str:
        value = self()
        return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def schema_option(key: str, description: str) -> Any:
    """Return a typer option for a key of the configuration: its default and what it may be stand in the schema."""

    def check(value: Any) -> Any:
        from virnucpro_kernels.run.config import complete_config

        complete_config({key: list(value) if isinstance(value, tuple) else value}, "options")
        return value

    return typer.Option(default_factory=SchemaDefault(key), help=description, callback=check)


Layout = Annotated[
    Literal["original", "even"],
    schema_option("layout", "Place windows as the original does, or spread them evenly, the last one at full length."),
]
