"""Calibration of a model on genomes: pieces drawn, predicted in a folder of their own, and the values fitted."""

import filecmp
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from virnucpro_kernels import __version__
from virnucpro_kernels.errors import DamagedFileError, GpuMemoryError, UsageError, VirnucproError
from virnucpro_kernels.evaluate.calibrate import LEAST, calibrate
from virnucpro_kernels.run.folder import SHEET
from virnucpro_kernels.run.locks import run_lock
from virnucpro_kernels.run.options import PredictOptions
from virnucpro_kernels.run.predict import predict
from virnucpro_kernels.run.samples import read_sheet
from virnucpro_kernels.train.genomes import LABELS, read_held_out
from virnucpro_kernels.train.pieces import PIECE_FASTA, TRUTH, SplitRecords, draw_places, write_pieces
from virnucpro_kernels.weights.registry import Calibration, Model, write_model

#: Pieces of each length in bp, from those of a read to those of a long contig; fewer or more have the same shares.
NUMBERS = {150: 1500, 300: 1500, 500: 1500, 700: 600, 1000: 1500, 1500: 600, 3000: 600, 5000: 600, 10_000: 600}
#: Folders in that of the calibration: the pieces, and the model without an earlier calibration.
_PIECES, _MODELS = Path("pieces"), Path("models")
_CLASSES = {error.exit_code: error for error in (DamagedFileError, GpuMemoryError, UsageError)}


@dataclass(frozen=True)
class Drawn:
    """What is drawn.

    Attributes:
        table: Table of genomes, as `virnucpro train` takes it.
        split: Split of it whose genomes are drawn from, any but `train`.
        number: Number of pieces of all lengths; those of each length are rounded to pairs of a virus and a host.
        seed: Seed of the pieces, and of the split where the table has none.
    """

    table: Path
    split: str
    number: int
    seed: int


@dataclass(frozen=True)
class _Known:
    """A row of the truth: a piece, what it is, and where it begins in its record, from 0."""

    contig: str
    label: str
    group: str
    category: str
    length: int
    record: str
    start: int


def calibrate_on_genomes(model: Model, drawn: Drawn, options: PredictOptions, prior: float) -> Calibration:
    """Draw pieces of genomes, predict them, and return the calibration that is fitted on the results.

    The same call goes on with what is in the folder, and gives the same values: the pieces are drawn again and replaced
    only where they are others, and an earlier calibration of the model takes no part.

    Args:
        model: Model to calibrate; it is not changed.
        drawn: What is drawn.
        options: As for `predict`, without inputs.
        prior: Share of viral sequences at which the probabilities are to be right.

    Raises:
        UsageError: the table, the split or the options cannot be used, there are too few pieces, or the folder is that
            of another run.
        VirnucproError: pieces could not be predicted.
        InterruptedRunError: Ctrl-C or a signal came; no job runs any more.
    """
    directory = options.directory
    _check_folder(directory)
    records = SplitRecords(read_held_out(drawn.table, drawn.split, drawn.seed))
    numbers = _numbers(records, drawn)
    lengths = f"{min(numbers):,} to {max(numbers):,} bp" if len(numbers) > 1 else f"{min(numbers):,} bp"
    if not options.quiet:
        for line in _describe(model, drawn, sum(numbers.values()), lengths):
            print(line, file=sys.stderr, flush=True)  # noqa: T201
    with run_lock(directory):
        _place_pieces(directory, records, numbers, drawn)
        uncalibrated = _without_calibration(model, directory)
    settings = {**options.settings, "model": str(uncalibrated.directory), "report": False}
    fasta = directory / _PIECES / PIECE_FASTA
    if code := predict(replace(options, inputs=(fasta,), settings=settings, calibrates=True)):
        raise _CLASSES.get(code, VirnucproError)(
            f"the pieces in {directory / _PIECES} have no scores for the reason above, and {model.name} stays as it is;"
            " the same command goes on"
        )
    origin = f"of {lengths} of split {drawn.split} of {drawn.table.name}"
    return calibrate(uncalibrated, [directory], directory / _PIECES / TRUTH, prior, origin)


def _describe(model: Model, drawn: Drawn, number: int, lengths: str) -> Iterator[str]:
    """Yield what is said before the pieces are drawn."""
    yield f"virnucpro {__version__}, calibration of {model.name}"
    yield f"  pieces   {number:,} of {lengths}, half of them viral, of split {drawn.split} of {drawn.table}"
    if not lengths.endswith(f"{max(NUMBERS):,} bp"):
        yield "           longer ones are left out: no virus or no host of this split is so long"


def _check_folder(directory: Path) -> None:
    """Refuse a folder in which other sequences were predicted: their results would be replaced."""
    if not (directory / SHEET).exists():
        return
    pieces = (directory / _PIECES / PIECE_FASTA).resolve()
    if [sample.input.resolve() for sample in read_sheet(directory / SHEET)] != [pieces]:
        raise UsageError(f"{directory} holds another run than that of a calibration; choose another --output-dir")


def _numbers(records: SplitRecords, drawn: Drawn) -> dict[int, int]:
    """Return how many pieces of each length are drawn: of those lengths that viruses and hosts of the split have."""
    where = f"{drawn.table}, split {drawn.split}"
    for label in LABELS:
        if label not in records.labels:
            raise UsageError(f"{where}: there is no {label}, and a calibration needs viruses and hosts")
    longest = min(records.longest(label) for label in LABELS)
    usable = {length: number for length, number in NUMBERS.items() if length <= longest}
    numbers = {length: 2 * round(drawn.number * number / sum(usable.values()) / 2) for length, number in usable.items()}
    if sum(numbers.values()) < 2 * LEAST:
        raise UsageError(
            f"--pieces {drawn.number}: {where} gives {sum(numbers.values()):,} pieces of up to {longest:,} bp, and a"
            f" calibration needs at least {LEAST} of viruses and {LEAST} of hosts"
        )
    return numbers


def _place_pieces(directory: Path, records: SplitRecords, numbers: dict[int, int], drawn: Drawn) -> None:
    """Draw the pieces; leave those that are there where they are the same, so that nothing is predicted again."""
    new = directory / f".{_PIECES}.new"
    shutil.rmtree(new, ignore_errors=True)  # a command that was killed left it
    write_pieces(new, _Known, _draw(records, numbers, drawn.seed))
    (directory / _PIECES).mkdir(exist_ok=True)
    for name in (TRUTH, PIECE_FASTA):
        there = directory / _PIECES / name
        if not there.exists() or not filecmp.cmp(new / name, there, shallow=False):
            (new / name).replace(there)
    shutil.rmtree(new)


def _draw(records: SplitRecords, numbers: dict[int, int], seed: int) -> Iterator[tuple[_Known, bytes]]:
    chance = np.random.default_rng(seed)
    for length, number in numbers.items():
        for count, (place, _) in enumerate(draw_places(records, length, length, number, chance), start=1):
            name, of = f"piece_{length}_{count}", place.row
            known = _Known(name, of["label"], of["group"], of["category"], length, place.record.contig, place.start)
            yield known, place.record.sequence[place.start : place.start + length]


def _without_calibration(model: Model, directory: Path) -> Model:
    """Return the model without its calibration, in a directory of its own with links to the files."""
    bare = replace(model, calibration=None)
    bare = replace(bare, directory=(directory / _MODELS / bare.model_id).absolute())
    bare.directory.mkdir(parents=True, exist_ok=True)
    for info in model.files:
        link, target = bare.path(info), model.path(info).resolve()
        if not link.is_symlink() or link.readlink() != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)
    write_model(bare)
    return bare
