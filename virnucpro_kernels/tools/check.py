"""Every problem of input files and of a sample sheet, with nothing run."""

from collections.abc import Callable, Sequence
from pathlib import Path

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.run.samples import read_sheet
from virnucpro_kernels.sequences.checks import inspect
from virnucpro_kernels.sequences.streams import readable


def check_inputs(inputs: Sequence[Path], sheet: Path | None, say: Callable[[str], object]) -> bool:
    """Print every problem; return whether all files can be used.

    Args:
        inputs: Sequence files; `-` is standard input.
        sheet: Sample sheet, which is checked together with its inputs.
        say: Function that prints a line.

    Raises:
        UsageError: there is nothing to check.
    """
    if not inputs and sheet is None:
        raise UsageError("nothing to check: name sequence files, or a sheet with `--samples`")
    usable, paths = True, list(inputs)
    if sheet is not None:
        try:
            paths += [path for sample in read_sheet(sheet) for path in sample.inputs]
        except UsageError as error:
            usable = False
            for line in str(error).splitlines():
                say(f"error: {line}")
    for path in paths:
        with readable(path) as (file, name):
            report = inspect(file, name)
        usable = usable and not report.errors
        for line in report.lines():
            say(line)
    return usable
