"""Whole chunks, file to files, by `virnucpro embed`: how near the engine comes to the encoders' own speed.

    python -m benchmarks.chunks --folder FOLDER --chunk 200000x50 [--chunk 200000x166] [--encoder esm2-3b]

`--folder` has room for the model (ESM-2 3B: 6 GB), chunks and embeddings.
"""

from __future__ import annotations

import itertools
import json
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks import command
from benchmarks.inputs import random_chunk, random_model, run_command
from benchmarks.results import ChunkRate
from virnucpro_kernels.bench.encoders import Workload, convert, make_encoder
from virnucpro_kernels.bench.run import Turns, count_sequences
from virnucpro_kernels.cli.bench import Device, Encoders, Json, Precisions, Seconds
from virnucpro_kernels.cli.main import run_app
from virnucpro_kernels.embed.encoders import default_budget
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.models.precisions import FP8_ATTENTION
from virnucpro_kernels.pool.tokens import SPECIAL_TOKENS

log = logging.getLogger("virnucpro_kernels.benchmarks")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class ChunkSize:
    """A chunk of frames of one length.

    Attributes:
        frames: Number of frames.
        residues: Residues of each frame.
    """

    frames: int
    residues: int

    @classmethod
    def parse(cls, text: str) -> ChunkSize:
        """Read `200000x166`.

        Raises:
            UsageError: `text` is not of that form.
        """
        frames, _, residues = text.partition("x")
        if not (frames.isdecimal() and residues.isdecimal() and int(frames) and int(residues)):
            raise UsageError(f"--chunk {text}: must be FRAMESxRESIDUES, as in 200000x166")
        return cls(int(frames), int(residues))


def measure_chunks(
    encoder: str,
    precision: str,
    sizes: Sequence[ChunkSize],
    device: torch.device,
    folder: Path,
    *,
    threads: int,
    seconds: float,
) -> Iterator[ChunkRate]:
    """Write a model of random weights and chunks of random frames into `folder`, embed each, and yield how fast.

    Args:
        encoder: An ESM-2 of `encoders.CONFIGS`; DNABERT-S of the true shape comes with it.
        precision: Precision of both encoders; DNABERT-S is in fp16 where it is `fp8-ff` or `fp8`.
        sizes: Sizes of the chunks.
        device: Device that computes.
        folder: Folder for model, chunks and embeddings; model and chunks that are there are used again.
        threads: CPU threads.
        seconds: Time that each encoder is measured alone, after each chunk.
    """
    model = random_model(folder, encoder, device)
    for size in sizes:
        manifest = random_chunk(folder / f"{size.frames}x{size.residues}", size.frames, size.residues)
        record, started = _embed(manifest, model, device, precision, threads)
        with _cpu_threads(threads):
            rate = _compare_with_engine(encoder, precision, size, device, seconds, record, started)
        log.info(
            "%s %s %d x %d: %.0f tokens/s, %.3f of the engine alone",
            *(encoder, precision, size.frames, size.residues, rate.tokens_per_second, rate.of_engine),
        )
        yield rate


def _embed(
    manifest: Path, model: Path, device: torch.device, precision: str, threads: int
) -> tuple[dict[str, Any], float]:
    """Run the command; return its record, and the Unix time at which its process was started."""
    output = manifest.parent / precision
    shutil.rmtree(output, ignore_errors=True)  # else the command would resume an attempt that was stopped
    started = time.time()
    run_command(
        *("embed", manifest, "--chunk", "00000", "--model", model),
        *("--nucleotide", output / "00000.nucleotide.h5", "--protein", output / "00000.protein.h5"),
        *("--device", device.type, "--precision", precision, "--threads", threads),
    )
    return json.loads((output / "00000.embed.json").read_text()), started


@contextmanager
def _cpu_threads(count: int) -> Iterator[None]:
    """Give PyTorch as many CPU threads as the command had."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def engine_rate(name: str, precision: str, tokens: int, sequences: int, seconds: float, device: torch.device) -> float:
    """Return the tokens per second of an encoder on batches of the default budget.

    Args:
        name: Key of `encoders.CONFIGS`.
        precision: Precision of the encoder.
        tokens: Tokens of each sequence, special tokens included.
        sequences: Number of sequences; of very many, those that fill a few batches are measured.
        seconds: Time of the measurement.
        device: Device that computes.
    """
    encoder = make_encoder(name, device)
    convert(encoder, precision)
    workload, budget = Workload(tokens, tokens), default_budget(precision, device)
    few = sequences if sequences < count_sequences(workload, budget) else 0
    turns = Turns(encoder, workload, budget, device, sequences=few)
    turns.measure(seconds)
    return turns.rates[0]


def _compare_with_engine(
    encoder: str,
    precision: str,
    size: ChunkSize,
    device: torch.device,
    alone_seconds: float,
    record: dict[str, Any],
    started: float,
) -> ChunkRate:
    nucleotide, protein = record["nucleotide"], record["protein"]
    end = datetime.fromisoformat(record["started"]) + timedelta(seconds=record["seconds"])
    completing = (end - datetime.fromisoformat(record["device_until"])).total_seconds()
    seconds = record["read_seconds"] + nucleotide["seconds"] + protein["seconds"] + completing
    busy = nucleotide["device_seconds"] + protein["device_seconds"]
    tokens = size.residues + SPECIAL_TOKENS
    protein_alone = engine_rate(encoder, precision, tokens, protein["distinct"], alone_seconds, device)
    nucleotide_alone = engine_rate(
        "dnabert-s",
        "fp16" if precision in FP8_ATTENTION else precision,
        round(nucleotide["tokens"] / nucleotide["distinct"]),
        nucleotide["distinct"],
        alone_seconds,
        device,
    )
    if device.type == "cuda":
        torch.cuda.empty_cache()  # for the process of the next chunk
    return ChunkRate(
        encoder=encoder,
        precision=precision,
        frames=size.frames,
        residues=size.residues,
        seconds=seconds,
        protein_tokens=protein["tokens"],
        nucleotide_tokens=nucleotide["tokens"],
        tokens_per_second=protein["tokens"] / seconds,
        protein_alone_tokens_per_second=protein_alone,
        nucleotide_alone_tokens_per_second=nucleotide_alone,
        of_engine=(protein["tokens"] / protein_alone + nucleotide["tokens"] / nucleotide_alone) / seconds,
        device_fraction=busy / seconds,
        nucleotide_fraction=nucleotide["device_seconds"] / busy,
        packing=protein["packing"],
        start_seconds=datetime.fromisoformat(record["first_batch"]).timestamp() - started,
        load_seconds=sum(record["load_seconds"].values()),
        peak_gigabytes=record.get("gpu_allocated_peak_bytes", record["memory_peak_bytes"]) / 1e9,
        reserved_gigabytes=record.get("gpu_reserved_peak_bytes", 0) / 1e9,
    )


@app.command()
def main(
    chunk: Annotated[
        list[str],
        typer.Option(metavar="FRAMESxRESIDUES", help="Size of a chunk, as in 200000x166; may be given several times."),
    ],
    folder: command.Folder,
    encoder: Encoders = None,
    precision: Precisions = "",
    device: Device = "auto",
    seconds: Seconds = 10.0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of `virnucpro embed`.")] = 4,
    json: Json = None,
    markdown: command.Markdown = None,
    compare: command.Compare = None,
) -> None:
    """Embed whole chunks of random frames, and each encoder's batches again with nothing between them."""
    run = command.Run.start(device, json, markdown, compare)
    encoders, precisions = run.choose(encoder, precision, folder)
    sizes = [ChunkSize.parse(text) for text in chunk]
    for name, kind in itertools.product(encoders, precisions):
        for rate in measure_chunks(name, kind, sizes, run.device, folder, threads=threads, seconds=seconds or 0.0):
            run.results.chunks.append(rate)
            run.save()
    run.finish()


if __name__ == "__main__":
    run_app(app)
