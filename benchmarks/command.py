"""What the commands `benchmarks.encoders`, `benchmarks.chunks` and `benchmarks.samples` share: options, start, end."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import torch
import typer

from benchmarks.comparison import Figures, compare, read_figures
from benchmarks.inputs import check_folder
from benchmarks.results import Results, to_markdown
from virnucpro_kernels.bench.options import DNABERT, check_files, find_device, find_encoders, find_precisions
from virnucpro_kernels.bench.results import describe_command, describe_machine
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.ops.prepare import prepare

Folder = Annotated[
    Path, typer.Option(help="Folder for the model of random weights, its input and its output; they stay there.")
]
Markdown = Annotated[Path | None, typer.Option(help="File to write the tables to.")]
Compare = Annotated[
    Path | None,
    typer.Option(
        help="JSON of an earlier run: exit code 1 where a figure is over 5 % worse. What takes less than a second on a"
        " CPU varies by more: small presets (give them --seconds) and parts of a layer (--no-layers)."
    ),
]


@dataclass
class Run:
    """A run of a benchmark.

    Attributes:
        device: Device that computes.
        results: Results so far.
        json, markdown: Files for the results.
        earlier: JSON of an earlier run to compare with.
        before: Its figures.
    """

    device: torch.device
    results: Results
    json: Path | None
    markdown: Path | None
    earlier: Path | None
    before: Figures | None

    @classmethod
    def start(cls, device_name: str, json: Path | None, markdown: Path | None, earlier: Path | None) -> Self:
        """Check files and device, and prepare the device.

        Raises:
            UsageError: a file cannot be written or is no earlier run, or there is no such device.
        """
        check_files(json, markdown)
        device = find_device(device_name)
        prepare(device)
        before = read_figures(earlier) if earlier else None
        logging.getLogger("virnucpro_kernels").setLevel(logging.INFO)
        command = describe_command(f"python -m benchmarks.{Path(sys.argv[0]).stem}")
        return cls(device, Results(describe_machine(device), command), json, markdown, earlier, before)

    def choose(self, encoder: Sequence[str] | None, precision: str, folder: Path) -> tuple[list[str], list[str]]:
        """Return the protein encoders and precisions for whole chunks and samples, and check the folder.

        Raises:
            UsageError: an option is wrong.
        """
        check_folder(folder)
        encoders = find_encoders(encoder or [], self.device)
        precisions = find_precisions(precision, encoders, self.device)
        proteins = [name for name in encoders if name != DNABERT]
        if not proteins:
            raise UsageError(f"--encoder {DNABERT}: name an ESM-2; {DNABERT} comes with it")
        return proteins, precisions

    def choose_esm2(self, encoder: Sequence[str] | None) -> list[str]:
        """Return the names of the ESM-2 to measure, the device's default without any.

        Raises:
            UsageError: one is unknown, or no ESM-2.
        """
        names = find_encoders(encoder or [], self.device)
        if encoder and DNABERT in names:
            raise UsageError(f"--encoder {DNABERT}: this benchmark is of ESM-2; name one")
        return [name for name in names if name != DNABERT]

    def save(self) -> None:
        """Write what was measured so far."""
        if self.json is not None:
            self.results.write(self.json)

    def finish(self) -> None:
        """Print and write the tables; end with exit code 1 where a figure is worse than in the earlier run."""
        tables = to_markdown(self.results)
        typer.echo(tables)
        if self.markdown is not None:
            self.markdown.write_text(tables)
        if self.earlier is not None and self.before is not None:
            comparison = compare(self.results, self.before, self.earlier)
            typer.echo("\n".join(comparison.lines(self.earlier)))
            if comparison.worse:
                raise typer.Exit(1)
