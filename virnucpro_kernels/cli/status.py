"""`virnucpro status`: how far a run is, from any machine that sees its folder."""

from pathlib import Path
from typing import Annotated

import typer


def status(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run.")],
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew every two seconds until the run ends.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, for programs.")] = False,
) -> None:
    """Say how far a run is: samples, chunks, speed, jobs, failures, time left. Only reads, also while the run goes on.

    Example: virnucpro status out --watch
    """
    from virnucpro_kernels.tools.status import print_status, watch_status

    if watch and as_json:
        raise typer.BadParameter("give --watch or --json, not both")
    if watch:
        watch_status(directory, typer.echo)
    else:
        print_status(directory, typer.echo, as_json=as_json)
