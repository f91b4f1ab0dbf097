"""Models in words: a table of all, what a new one was made of, and the command that comes next."""

from collections.abc import Iterator
from pathlib import Path

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.weights.registry import (
    RELEASED,
    FileInfo,
    Model,
    calibrate_command,
    model_directories,
    read_model,
)
from virnucpro_kernels.weights.site import command_line, find_models_dir

_NO_CALIBRATION = "none"


def describe_models(models_dir: Path | None = None) -> Iterator[str]:
    """Yield the folder of the models, and a table: name, window length, encoders, state, calibration, folder of each.

    Args:
        models_dir: Folder of imported models; None for the site's or the user's own.
    """
    rows: list[tuple[str, ...]] = [("MODEL", "WINDOW", "NUCLEOTIDE", "PROTEIN", "STATE", "CALIBRATION", "DIRECTORY")]
    directories = model_directories(models_dir)
    rows += [_row(directory) for directory in directories]
    missing = [name for name in RELEASED if name not in {directory.name for directory in directories}]
    for name in missing:
        rows.append((name, "", "", "", "not here", "", command_line("weights", "fetch", name, models_dir=models_dir)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield f"folder of imported models: {find_models_dir(models_dir)}"
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    if any(row[-2] == _NO_CALIBRATION for row in rows):
        yield (
            f"calibration {_NO_CALIBRATION}: p_virus ranks contigs, but is no probability, until virnucpro"
            " calibrate MODEL --genomes GENOMES_TSV --output-dir calibration"
        )


def _row(directory: Path) -> tuple[str, ...]:
    try:
        model = read_model(directory)
    except DamagedFileError as error:
        return directory.name, "", "", "", f"damaged: {error}", "", str(directory)
    state = "; ".join(model.damage()) or "complete"
    window = f"{model.window_length} bp"
    share = f"for a share of {model.calibration.prior:g}" if model.calibration else _NO_CALIBRATION
    return model.name, window, model.nucleotide.name, model.protein.name, state, share, str(directory)


def describe_new(model: Model, models_dir: Path | None = None) -> Iterator[str]:
    """Yield what a model was made of, and a command that uses it; `models_dir` as for `describe_models`."""
    yield f"made {model.directory} for windows of {model.window_length} bp"
    parts: dict[str, tuple[FileInfo, str]] = {
        "nucleotide": (model.nucleotide, f"{model.nucleotide.name}, {model.nucleotide.dimension} wide"),
        "tokenizer": (model.tokenizer, ""),
        "protein": (model.protein, f"{model.protein.name}, {model.protein.dimension} wide"),
        "classifier": (model.classifier, f"takes {model.classifier.dimension} features"),
    }
    for part, (info, what) in parts.items():
        size = f"{info.bytes / 1e6:,.1f} MB"
        yield f"  {part:<10}  {size:>12}  sha256 {info.sha256[:12]}…  {what:<22}  from: {info.source}"
    yield f"  checked: {model.notes}"
    example = ("predict", "contigs.fa.gz", "--output-dir", "out", "--model", model.name)
    if model.calibration is None:
        yield f"  no calibration: p_virus ranks contigs, but is no probability, until {calibrate_command(model)}"
    yield f"use it: {command_line(*example, models_dir=models_dir)}"
