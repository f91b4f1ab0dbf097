"""The demonstration: the workflow on the sequences that come with the package."""

from pathlib import Path

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.run.folder import SHEET
from virnucpro_kernels.run.installation import demonstration
from virnucpro_kernels.run.options import PredictOptions
from virnucpro_kernels.run.predict import predict
from virnucpro_kernels.run.samples import read_sheet
from virnucpro_kernels.weights.registry import BUNDLED


def run_demo(directory: Path) -> int:
    """Run the demonstration, or go on with it; return the exit code.

    Raises:
        UsageError: the folder holds something else.
    """
    sheet = directory / SHEET
    if directory.is_dir() and any(directory.iterdir()):
        there = [sample.input.resolve() for sample in read_sheet(sheet)] if sheet.exists() else []
        if there != [demonstration().resolve()]:
            raise UsageError(
                f"{directory} holds something else than the demonstration; choose another folder with --output-dir"
            )
    return predict(PredictOptions(directory, (demonstration(),), settings={"model": BUNDLED}))
