"""Small encoders with random weights, and frames for them: the real classes, at sizes that a test can afford."""

from pathlib import Path

import numpy as np
import tokenizers
import torch
from tokenizers import models, processors, trainers

from tests.helpers.blocks import esm2_blocks
from virnucpro_kernels.models.classifier import Classifier, ClassifierConfig
from virnucpro_kernels.models.dnabert_s import DnabertConfig, DnabertS
from virnucpro_kernels.models.esm2 import Esm2, Esm2Config
from virnucpro_kernels.pool.chunk_fasta import Frames
from virnucpro_kernels.sequences.arrays import SequenceArray
from virnucpro_kernels.weights.directory import NewClassifier, NewEncoder, Origin, tensors_of
from virnucpro_kernels.weights.directory import write_model_directory as write_directory
from virnucpro_kernels.weights.registry import Description, Model

PROTEIN_DIMENSION, NUCLEOTIDE_DIMENSION = 32, 16
VOCABULARY = 64


def random_dna(count: int, lengths: tuple[int, int], seed: int) -> list[bytes]:
    rng = np.random.default_rng(seed)
    return [rng.choice(list(b"ACGT"), rng.integers(*lengths)).astype(np.uint8).tobytes() for _ in range(count)]


def random_proteins(count: int, lengths: tuple[int, int], seed: int) -> list[bytes]:
    rng = np.random.default_rng(seed)
    residues = list(b"ACDEFGHIKLMNPQRSTVWY")
    return [rng.choice(residues, rng.integers(*lengths)).astype(np.uint8).tobytes() for _ in range(count)]


def frames(count: int, *, distinct: int, lengths: tuple[int, int] = (20, 60), seed: int = 3) -> Frames:
    """`count` frames with `distinct` different sequences of either kind, at random places."""
    rng = np.random.default_rng(seed)
    which = np.concatenate([np.arange(distinct), rng.integers(0, distinct, count - distinct)])
    rng.shuffle(which)
    proteins, nucleotides = random_proteins(distinct, lengths, seed), random_dna(distinct, (60, 180), seed)
    rows = 5 + np.cumsum(rng.integers(1, 4, count))
    return Frames(
        rows,
        [f"contig_chunk_{row}F1" for row in rows],
        SequenceArray.from_list([nucleotides[i] for i in which]),
        SequenceArray.from_list([proteins[i] for i in which]),
    )


def random_weights(module: torch.nn.Module, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and "frequencies" not in name:
            noise = torch.randn(tensor.shape, generator=generator)
            is_norm = "norm" in name and name.endswith("weight")
            tensor.copy_(1 + 0.1 * noise if is_norm else noise * tensor.shape[-1] ** -0.5)


def protein_encoder(seed: int = 0) -> Esm2:
    encoder = Esm2(Esm2Config(layers=2, hidden=PROTEIN_DIMENSION, heads=2, feed_forward=128))
    random_weights(encoder, seed)
    esm2_blocks(encoder)[0].attention_norm.carried_bias.zero_()  # there is no projection before the first block
    return encoder.eval().requires_grad_(False)


def nucleotide_encoder(seed: int = 1) -> DnabertS:
    encoder = DnabertS(
        DnabertConfig(layers=2, hidden=NUCLEOTIDE_DIMENSION, heads=2, feed_forward=24, vocabulary=VOCABULARY)
    )
    random_weights(encoder, seed)
    return encoder.eval().requires_grad_(False)


def write_tokenizer(path: Path) -> None:
    """Byte pairs learnt from random DNA, with the special tokens of the published tokenizer."""
    tokenizer = tokenizers.Tokenizer(models.BPE(unk_token="[UNK]"))
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([dna.decode() for dna in random_dna(50, (200, 300), 0)], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(path))


def classifier(dimension: int = NUCLEOTIDE_DIMENSION + PROTEIN_DIMENSION, seed: int = 2) -> Classifier:
    module = Classifier(ClassifierConfig(dimension, 24))
    random_weights(module, seed)
    assert module.norm.running_var is not None
    module.norm.running_var.abs_().add_(0.1)
    return module.eval().requires_grad_(False)


def write_model(
    directory: Path,
    *,
    window_length: int = 500,
    seed: int = 0,
    names: tuple[str, str] = ("tiny-dnabert", "tiny-esm2"),
) -> Model:
    """A complete model directory of these encoders; `seed` decides the weights of all three networks."""
    tokenizer = directory.with_name(f"{directory.name}.tokenizer.json")
    write_tokenizer(tokenizer)
    protein, nucleotide, head = protein_encoder(seed), nucleotide_encoder(seed + 1), classifier(seed=seed + 2)
    origin = Origin("random weights of a test")
    return write_directory(
        directory,
        Description(directory.name, window_length, "original", "trial", "a test", "MIT", ""),
        NewEncoder(names[0], nucleotide.config, tensors_of(nucleotide, torch.float32), origin),
        tokenizer,
        origin,
        NewEncoder(names[1], protein.config, tensors_of(protein, torch.float32), origin),
        NewClassifier(head.config, tensors_of(head, torch.float32), origin),
    )
