"""A whole chunk, file to files, by the command itself: how near the engine comes to the encoders' own speed."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from virnucpro_kernels.bench.engine import engine_rate
from virnucpro_kernels.bench.inputs import random_chunk, random_model
from virnucpro_kernels.bench.subcommand import run_command
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.pool.tokens import SPECIAL_TOKENS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChunkSize:
    """A chunk of frames of one length."""

    frames: int
    residues: int

    @classmethod
    def parse(cls, text: str) -> ChunkSize:
        """`200000x166`.

        :raises UsageError: something else.
        """
        frames, _, residues = text.partition("x")
        if not (frames.isdecimal() and residues.isdecimal() and int(frames) and int(residues)):
            raise UsageError(f"--chunk {text}: must be FRAMESxRESIDUES, as in 200000x166")
        return cls(int(frames), int(residues))


@dataclass(frozen=True)
class ChunkRate:
    """Speed of the embed command on one chunk.

    Attributes:
        encoder: the protein encoder; DNABERT-S comes with it.
        frames, residues: size of the chunk.
        seconds: from reading the chunk to complete files, loading of the models aside.
        protein_tokens, nucleotide_tokens: that were embedded in this time.
        tokens_per_second: protein tokens over `seconds`.
        protein_alone_tokens_per_second, nucleotide_alone_tokens_per_second: of each encoder by itself, on batches that
            lie on the device, of sequences of the same length (nucleotides: of the mean one).
        of_engine: what both encoders alone would take for these tokens, over `seconds`: 1 is their own speed.
        device_share: share of `seconds` in which the device ran an encoder.
        nucleotide_share: share of the device's time that the nucleotide encoder took.
        packing: share of the token budget that held tokens, protein encoder.
        start_seconds: from the start of the process to the first finished batch.
        load_seconds: of both models together.
        peak_gigabytes: of GPU memory, or of host memory on a CPU.
        reserved_gigabytes: of GPU memory, what PyTorch held at most.
    """

    encoder: str
    precision: str
    frames: int
    residues: int
    seconds: float
    protein_tokens: int
    nucleotide_tokens: int
    tokens_per_second: float
    protein_alone_tokens_per_second: float
    nucleotide_alone_tokens_per_second: float
    of_engine: float
    device_share: float
    nucleotide_share: float
    packing: float
    start_seconds: float
    load_seconds: float
    peak_gigabytes: float
    reserved_gigabytes: float


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

    :param encoder: an ESM-2 of `encoders.CONFIGS`; DNABERT-S of the true shape comes with it.
    :param folder: has room for the model (ESM-2 3B: 6 GB), chunks and embeddings; model and chunks that are there are
        used again.
    :param threads: CPU threads.
    :param seconds: how long each encoder is measured alone, behind each chunk.
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
    """Run the command; return its record, and when its process was started (Unix time)."""
    output = manifest.parent / precision
    shutil.rmtree(output, ignore_errors=True)  # an attempt that was stopped would be gone on with
    started = time.time()
    run_command(
        *("embed", manifest, "--chunk", "00000", "--model", model),
        *("--nucleotide", output / "00000.nucleotide.h5", "--protein", output / "00000.protein.h5"),
        *("--device", device.type, "--precision", precision, "--threads", threads),
    )
    return json.loads((output / "00000.embed.json").read_text()), started


@contextmanager
def _cpu_threads(count: int) -> Iterator[None]:
    """Let PyTorch have as many CPU threads as the command had."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
    seconds = record["read_seconds"] + nucleotide["seconds"] + protein["seconds"]
    busy = nucleotide["device_seconds"] + protein["device_seconds"]
    tokens = size.residues + SPECIAL_TOKENS
    protein_alone = engine_rate(encoder, precision, tokens, protein["distinct"], alone_seconds, device)
    nucleotide_alone = engine_rate(
        "dnabert-s",
        "fp16" if precision == "fp8" else precision,
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
        device_share=busy / seconds,
        nucleotide_share=nucleotide["device_seconds"] / busy,
        packing=protein["packing"],
        start_seconds=datetime.fromisoformat(record["first_batch"]).timestamp() - started,
        load_seconds=sum(record["load_seconds"].values()),
        peak_gigabytes=record.get("gpu_allocated_peak_bytes", record["memory_peak_bytes"]) / 1e9,
        reserved_gigabytes=record.get("gpu_reserved_peak_bytes", 0) / 1e9,
    )
