"""`virnucpro select`: contigs or regions of a finished run by score, length, tier and call."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from virnucpro_kernels.cli.options import FinishedRun

# typer takes a choice that may be repeated only from an enumeration.
_Tier = StrEnum("_Tier", ["low", "medium", "high"])
_Call = StrEnum("_Call", ["viral", "host", "none"])


def select(
    directory: FinishedRun,
    sample: Annotated[list[str] | None, typer.Option(help="A sample of the run; may be repeated.")] = None,
    regions: Annotated[bool, typer.Option("--regions", help="Viral regions instead of contigs.")] = False,
    min_p: Annotated[float, typer.Option(min=0, max=1, help="Least p_virus.")] = 0,
    max_p: Annotated[float, typer.Option(min=0, max=1, help="Largest p_virus.")] = 1,
    min_length: Annotated[int, typer.Option(min=0, help="Least number of bases.")] = 0,
    max_length: Annotated[int | None, typer.Option(min=0, help="Largest number of bases.")] = None,
    tier: Annotated[list[_Tier] | None, typer.Option(help="A tier; may be repeated.")] = None,
    call: Annotated[list[_Call] | None, typer.Option(help="A call of contigs; may be repeated.")] = None,
    tsv: Annotated[bool, typer.Option("--tsv", help="Write a table; this is the default.")] = False,
    fasta: Annotated[bool, typer.Option("--fasta", help="Write sequences.")] = False,
    bed: Annotated[bool, typer.Option("--bed", help="Write places in BED.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="File to write, compressed if its name ends with .gz; else standard output.")
    ] = None,
) -> None:
    """Write the contigs or regions of a finished run that fulfil all conditions; nothing is computed again.

    Example: virnucpro select out --min-p 0.9 --min-length 1000 --tier high --regions --fasta --output sure.fna.gz
    """
    from virnucpro_kernels.errors import UsageError
    from virnucpro_kernels.tools.output import open_output
    from virnucpro_kernels.tools.select import Form, Wanted
    from virnucpro_kernels.tools.select import select as select_rows

    forms: dict[Form, bool] = {"tsv": tsv, "fasta": fasta, "bed": bed}
    chosen = [form for form, given in forms.items() if given] or ["tsv"]
    if len(chosen) > 1:
        raise UsageError("--tsv, --fasta and --bed: give one of them")
    for low, high, name in ((min_p, max_p, "p"), (min_length, max_length, "length")):
        if high is not None and low > high:
            raise UsageError(f"--min-{name} {low} is above --max-{name} {high}; swap them")
    wanted = Wanted(regions, min_p, max_p, min_length, max_length, tier or (), call or ())
    with open_output(output) as file:
        count = select_rows(directory, wanted, chosen[0], file, sample or ())
        typer.echo(f"{count:,} {'regions' if regions else 'contigs'}", err=True)
