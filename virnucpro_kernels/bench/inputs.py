"""What whole chunks and samples are measured on: a model of random weights, random frames, random reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, processors, trainers

from virnucpro_kernels.bench.encoders import CONFIGS, make_encoder
from virnucpro_kernels.files import atomic_path, sha256
from virnucpro_kernels.models.classifier import Classifier, ClassifierConfig
from virnucpro_kernels.pool.file_names import CHUNKS, MANIFEST
from virnucpro_kernels.pool.manifest import Chunk, write_manifest
from virnucpro_kernels.pool.tokens import SPECIAL_TOKENS
from virnucpro_kernels.sequences.arrays import Uint8s
from virnucpro_kernels.weights.directory import (
    Description,
    NewClassifier,
    NewEncoder,
    Origin,
    tensors_of,
    write_model_directory,
)

_WINDOW_LENGTH = 500
_FRAMES_AT_ONCE = 10_000
_READ_LENGTH = 150
_READS_AT_ONCE = 100_000
#: Leaves 0.8 stop-free frames a read, as real samples do.
_GC = 0.545


def random_model(folder: Path, encoder: str, device: torch.device) -> Path:
    """Write a model of random fp16 weights into `folder`, unless it is there; return its directory.

    An ESM-2, DNABERT-S, and a tokenizer that has learned from random DNA.
    """
    directory = folder / f"{encoder}-random"
    if (directory / "model.toml").exists():
        return directory
    origin = Origin("random weights for a benchmark")
    parts = {}
    for name in ("dnabert-s", encoder):
        module = make_encoder(name, device)
        parts[name] = NewEncoder(name, CONFIGS[name], tensors_of(module.half().cpu(), torch.float16), origin)
        del module
    if device.type == "cuda":
        torch.cuda.empty_cache()
    head = Classifier(ClassifierConfig(sum(part.config.hidden for part in parts.values())))
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = folder / "tokenizer.json"
    _write_tokenizer(tokenizer)
    write_model_directory(
        directory,
        Description(directory.name, _WINDOW_LENGTH, "trial", origin.source, "MIT", "for benchmarks"),
        parts["dnabert-s"],
        tokenizer,
        origin,
        parts[encoder],
        NewClassifier(head.config, tensors_of(head, torch.float32), origin),
    )
    return directory


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


def _letters(letters: bytes) -> Uint8s:
    return np.frombuffer(letters, np.uint8)


def random_chunk(pool: Path, frames: int, residues: int) -> Path:
    """Write a pool of one chunk of random frames of one length, unless it is there; return the manifest."""
    manifest, chunks = pool / MANIFEST, pool / CHUNKS
    if manifest.exists():
        return manifest
    chunks.mkdir(parents=True, exist_ok=True)
    bases = 3 * residues + 1
    paths = chunks / "00000.fna", chunks / "00000.faa"
    for path, letters, length in zip(paths, (b"ACGT", b"ACDEFGHIKLMNPQRSTVWY"), (bases, residues), strict=True):
        rng = np.random.default_rng(0)
        with path.open("wb") as file:
            for first in range(0, frames, _FRAMES_AT_ONCE):
                count = min(_FRAMES_AT_ONCE, frames - first)
                block = rng.choice(_letters(letters), (count, length))
                file.writelines(b">%d r%d\n%s\n" % (first + i, first + i, row.tobytes()) for i, row in enumerate(block))
    write_manifest(
        manifest,
        [
            Chunk(
                chunk="00000",
                rows=frames,
                protein_tokens=frames * (residues + SPECIAL_TOKENS),
                nucleotide_tokens=round(frames * (bases / 4.7 + SPECIAL_TOKENS)),
                min_residues=residues,
                max_residues=residues,
                nucleotide_sha256=sha256(paths[0]),
                protein_sha256=sha256(paths[1]),
                geometry=f"{_WINDOW_LENGTH}-original",
            )
        ],
    )
    return manifest


def random_reads(folder: Path, number: int) -> Path:
    """Write FASTA of random reads of 150 nt, unless it is there; return the file."""
    path = folder / f"{number}.fa"
    if path.exists():
        return path
    rng = np.random.default_rng(0)
    shares = [(1 - _GC) / 2, _GC / 2, _GC / 2, (1 - _GC) / 2]
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for first in range(0, number, _READS_AT_ONCE):
            block = rng.choice(_letters(b"ACGT"), (min(_READS_AT_ONCE, number - first), _READ_LENGTH), p=shares)
            file.writelines(b">read_%d\n%s\n" % (first + i, read.tobytes()) for i, read in enumerate(block))
    return path
