"""What whole chunks and samples are measured on: a model of random weights, random frames and reads; and the commands
themselves, each in a process of its own as in a run."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, processors, trainers

from virnucpro_kernels.bench.encoders import CONFIGS, make_encoder
from virnucpro_kernels.embed.stopping import StopRequest
from virnucpro_kernels.errors import StoppedError, UsageError, VirnucproError
from virnucpro_kernels.files import atomic_path, sha256
from virnucpro_kernels.models.classifier import Classifier, ClassifierConfig
from virnucpro_kernels.pool.file_names import CHUNKS, MANIFEST
from virnucpro_kernels.pool.manifest import Chunk, write_manifest
from virnucpro_kernels.pool.tokens import SPECIAL_TOKENS
from virnucpro_kernels.sequences.arrays import Uint8s
from virnucpro_kernels.weights.directory import (
    NewClassifier,
    NewEncoder,
    Origin,
    tensors_of,
    write_model_directory,
)
from virnucpro_kernels.weights.registry import Description

_WINDOW_LENGTH = 500
_FRAMES_AT_ONCE = 10_000
_READ_LENGTH = 150
_READS_AT_ONCE = 100_000
#: Fraction of G and C with which reads have 0.8 stop-free frames on average, as real samples do.
_GC = 0.545

_CONTIG_LENGTH = 3000
_CONTIGS_AT_ONCE = 5_000
_STOPS = ("TAA", "TAG", "TGA")

_POLL_SECONDS = 0.5
#: Seconds that a command has to end after a signal; `predict` has its own jobs to end first.
_GRACE_SECONDS = 60.0


def random_model(folder: Path, encoder: str, device: torch.device) -> Path:
    """Write a model of random fp16 weights into `folder`, unless it is there; return its directory.

    The model has an ESM-2, DNABERT-S, and a tokenizer that has learned from random DNA.
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
    classifier = Classifier(ClassifierConfig(sum(part.config.hidden for part in parts.values())))
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = folder / "tokenizer.json"
    _write_tokenizer(tokenizer)
    write_model_directory(
        directory,
        Description(directory.name, _WINDOW_LENGTH, "original", "trial", origin.source, "MIT", "for benchmarks"),
        parts["dnabert-s"],
        tokenizer,
        origin,
        parts[encoder],
        NewClassifier(classifier.config, tensors_of(classifier, torch.float32), origin),
    )
    return directory


def _write_tokenizer(path: Path) -> None:
    """Write 4,096 byte pairs of random DNA: 4.7 bases a token there, as the published ones have in real DNA."""
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
    frequencies = [(1 - _GC) / 2, _GC / 2, _GC / 2, (1 - _GC) / 2]
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for first in range(0, number, _READS_AT_ONCE):
            block = rng.choice(_letters(b"ACGT"), (min(_READS_AT_ONCE, number - first), _READ_LENGTH), p=frequencies)
            file.writelines(b">read_%d\n%s\n" % (first + i, read.tobytes()) for i, read in enumerate(block))
    return path


def random_contigs(folder: Path, bases: int) -> Path:
    """Write FASTA of random contigs of 3,000 bp, `bases` in all, unless it is there; return the file.

    A contig is a gene without an end, so that every window of 500 bp has a frame without stop codons.
    """
    path = folder / f"{bases}-bp.fa"
    if path.exists():
        return path
    codons = ["".join(letters) for letters in itertools.product("ACGT", repeat=3)]
    sense = np.stack([_letters(codon.encode()) for codon in codons if codon not in _STOPS])
    rng = np.random.default_rng(0)
    number = max(bases // _CONTIG_LENGTH, 1)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for first in range(0, number, _CONTIGS_AT_ONCE):
            block = rng.choice(sense, (min(_CONTIGS_AT_ONCE, number - first), _CONTIG_LENGTH // 3))
            file.writelines(b">contig_%d\n%s\n" % (first + i, contig.tobytes()) for i, contig in enumerate(block))
    return path


def check_folder(folder: Path) -> None:
    """Refuse a folder that is a file."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--folder {folder}: is a file; name a folder")


def run_command(*words: object) -> None:
    """Run `virnucpro WORDS…` to its end. A signal that ends this process ends the command first.

    Raises:
        VirnucproError: the command failed; the message has the end of what it printed.
        StoppedError: a signal came.
    """
    command = [sys.executable, "-m", "virnucpro_kernels", *map(str, words)]
    with (
        StopRequest() as stop,
        # In a session of its own the command gets a signal from here alone, and once: a second would end it at once.
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        printed = _wait(process, stop)
    if stop.stopped():
        error = StoppedError(f"stopped, and virnucpro {words[0]} with it; run the same command again")
        error.exit_code = 128 + stop.number
        raise error
    if process.returncode:
        raise VirnucproError(f"virnucpro {words[0]} ended with exit code {process.returncode}: {printed[-2000:]}")


def _wait(process: subprocess.Popen[str], stop: StopRequest) -> str:
    """Wait for the end, or end the process once there is a signal; return what it printed on standard error."""
    while not stop.stopped():
        try:
            return process.communicate(timeout=_POLL_SECONDS)[1]
        except subprocess.TimeoutExpired:
            continue
    process.terminate()
    try:
        return process.communicate(timeout=_GRACE_SECONDS)[1]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[1]
