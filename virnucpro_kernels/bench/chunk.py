"""A whole chunk, file to files, by the command itself: how near the engine comes to the encoders' own speed."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer, models, processors, trainers

from virnucpro_kernels.bench.encoders import CONFIGS, make_encoder
from virnucpro_kernels.errors import UsageError, VirnucproError
from virnucpro_kernels.files import sha256
from virnucpro_kernels.manifest import Chunk, write_manifest
from virnucpro_kernels.model_directory import (
    Description,
    NewClassifier,
    NewEncoder,
    Origin,
    tensors_of,
    write_model_directory,
)
from virnucpro_kernels.models.classifier import Classifier, ClassifierConfig
from virnucpro_kernels.registry import Model

log = logging.getLogger(__name__)

_WINDOW_LENGTH = 500
_FRAMES_AT_ONCE = 10_000


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
        if not (frames.isdigit() and residues.isdigit() and int(frames) and int(residues)):
            raise UsageError(f"--chunk {text}: must be FRAMESxRESIDUES, as in 200000x166")
        return cls(int(frames), int(residues))


@dataclass(frozen=True)
class ChunkRate:
    """Speed of the embed command on one chunk.

    Attributes:
        encoder: the protein encoder; DNABERT-S comes with it.
        frames, residues: size of the chunk.
        seconds: from reading the chunk to complete files, loading of the models aside.
        tokens_per_second: protein tokens over `seconds`.
        of_engine: share of `seconds` in which the device ran an encoder: 1 would be the encoders' own speed.
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
    tokens_per_second: float
    of_engine: float
    nucleotide_share: float
    packing: float
    start_seconds: float
    load_seconds: float
    peak_gigabytes: float
    reserved_gigabytes: float


def measure_chunks(
    encoder: str, precision: str, sizes: Sequence[ChunkSize], device: torch.device, folder: Path, threads: int
) -> list[ChunkRate]:
    """Write a model of random weights and chunks of random frames into `folder`, embed each, and say how fast.

    :param encoder: an ESM-2 of `encoders.CONFIGS`; DNABERT-S of the true shape comes with it.
    :param folder: has room for the model (ESM-2 3B: 6 GB), chunks and embeddings; what is there is used again.
    """
    model = folder / f"{encoder}-random"
    if not (model / "model.toml").exists():
        write_random_model(model, encoder, device)
    rates = []
    for size in sizes:
        manifest = write_random_chunk(folder / f"{size.frames}x{size.residues}", size)
        rate = _measure(encoder, precision, size, device, model, manifest, threads)
        log.info("%s %s %s x %s: %.0f tokens/s", encoder, precision, size.frames, size.residues, rate.tokens_per_second)
        rates.append(rate)
    return rates


def write_random_model(directory: Path, encoder: str, device: torch.device) -> Model:
    """Write a model of random fp16 weights: an ESM-2, DNABERT-S, and a tokenizer that has learned from random DNA."""
    origin = Origin("random weights for a benchmark")
    parts = {}
    for name in ("dnabert-s", encoder):
        module = make_encoder(name, device)
        parts[name] = NewEncoder(name, CONFIGS[name], tensors_of(module.half().cpu(), torch.float16), origin)
        del module
    if device.type == "cuda":
        torch.cuda.empty_cache()
    head = Classifier(ClassifierConfig(sum(part.config.hidden for part in parts.values())))
    tokenizer = directory.with_name("tokenizer.json")
    tokenizer.parent.mkdir(parents=True, exist_ok=True)
    _write_tokenizer(tokenizer)
    return write_model_directory(
        directory,
        Description(directory.name, _WINDOW_LENGTH, "trial", origin.source, "MIT", "for benchmarks"),
        parts["dnabert-s"],
        tokenizer,
        origin,
        parts[encoder],
        NewClassifier(head.config, tensors_of(head, torch.float32), origin),
    )


def _write_tokenizer(path: Path) -> None:
    """4,096 byte pairs of random DNA: 4.7 bases a token there, as the published ones have in real DNA."""
    texts = [dna.tobytes().decode() for dna in np.random.default_rng(0).choice(_letters(b"ACGT"), (1000, 500))]
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=4096, special_tokens=special, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(path))


def _letters(letters: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(letters, np.uint8)


def write_random_chunk(pool: Path, size: ChunkSize) -> Path:
    """Write a pool of one chunk of random frames, all different, unless it is there; return the manifest."""
    manifest, chunks = pool / "chunks.tsv", pool / "chunks"
    if manifest.exists():
        return manifest
    chunks.mkdir(parents=True, exist_ok=True)
    bases = 3 * size.residues + 1
    paths = chunks / "00000.fna", chunks / "00000.faa"
    for path, letters, length in zip(paths, (b"ACGT", b"ACDEFGHIKLMNPQRSTVWY"), (bases, size.residues), strict=True):
        rng = np.random.default_rng(0)
        with path.open("wb") as file:
            for first in range(0, size.frames, _FRAMES_AT_ONCE):
                count = min(_FRAMES_AT_ONCE, size.frames - first)
                block = rng.choice(_letters(letters), (count, length))
                file.writelines(b">%d r%d\n%s\n" % (first + i, first + i, row.tobytes()) for i, row in enumerate(block))
    write_manifest(
        manifest,
        [
            Chunk(
                chunk="00000",
                rows=size.frames,
                protein_tokens=size.frames * (size.residues + 2),
                nucleotide_tokens=round(size.frames * (bases / 4.7 + 2)),
                min_residues=size.residues,
                max_residues=size.residues,
                nucleotide_sha256=sha256(paths[0]),
                protein_sha256=sha256(paths[1]),
                geometry=f"{_WINDOW_LENGTH}-original",
            )
        ],
    )
    return manifest


def _measure(
    encoder: str, precision: str, size: ChunkSize, device: torch.device, model: Path, manifest: Path, threads: int
) -> ChunkRate:
    output = manifest.parent / precision
    command = [
        *(sys.executable, "-m", "virnucpro_kernels", "embed", manifest, "--chunk", "00000", "--model", model),
        *("--nucleotide", output / "00000.nucleotide.h5", "--protein", output / "00000.protein.h5"),
        *("--device", device.type, "--precision", precision, "--threads", threads),
    ]
    started = time.time()
    ended = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise VirnucproError(
            f"embedding {size.frames} frames of {size.residues} residues failed: {ended.stderr[-2000:]}"
        )
    record: dict[str, Any] = json.loads((output / "00000.embed.json").read_text())
    nucleotide, protein = record["nucleotide"], record["protein"]
    seconds = record["read_seconds"] + nucleotide["seconds"] + protein["seconds"]
    busy = nucleotide["device_seconds"] + protein["device_seconds"]
    return ChunkRate(
        encoder=encoder,
        precision=precision,
        frames=size.frames,
        residues=size.residues,
        seconds=seconds,
        tokens_per_second=protein["tokens"] / seconds,
        of_engine=busy / seconds,
        nucleotide_share=nucleotide["device_seconds"] / busy,
        packing=protein["packing"],
        start_seconds=datetime.fromisoformat(record["first_batch"]).timestamp() - started,
        load_seconds=sum(record["load_seconds"].values()),
        peak_gigabytes=record.get("gpu_allocated_peak_bytes", record["memory_peak_bytes"]) / 1e9,
        reserved_gigabytes=record.get("gpu_reserved_peak_bytes", 0) / 1e9,
    )
