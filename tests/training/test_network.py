"""The network that is trained, and the package's classes with its weights: the same logits from the same segments."""

from itertools import islice
from pathlib import Path

import numpy as np
import torch

from training.coding import UNKNOWN
from training.codons import CODONS, write_codon_tokenizer
from training.network import COMPACT, CompactNetwork, Segments, add_up
from virnucpro_kernels.models.dnabert_s import DnabertS
from virnucpro_kernels.models.esm2 import Esm2
from virnucpro_kernels.models.tokenizers import DnaTokenizer, tokenize_proteins
from virnucpro_kernels.ops.packing import pack, plan_batches
from virnucpro_kernels.sequences.arrays import SequenceArray
from virnucpro_kernels.sequences.records import read_records
from virnucpro_kernels.split.frames import frame_sequences
from virnucpro_kernels.split.windows import place_windows

DEMO = Path(__file__).parents[2] / ".test" / "data" / "demo.fna.gz"
_PLACES = 170


def _real_frames() -> tuple[np.ndarray, list[bytes], list[bytes]]:
    contigs = [record.sequence for record in islice(read_records(DEMO), 12)]
    sequences = SequenceArray.from_list(contigs)
    windows = place_windows(sequences.lengths, 500, "segments")
    frames, nucleotides, proteins = frame_sequences(sequences, windows, "segments")
    return frames.window, nucleotides, proteins


def _segments(window: np.ndarray, nucleotides: list[bytes]) -> Segments:
    """The segments in two buckets, the second with one that only fills it."""
    codons = torch.zeros(len(nucleotides) + 1, _PLACES, dtype=torch.int64)
    for row, sequence in enumerate(nucleotides):
        found = [CODONS.index(sequence[at : at + 3].decode()) for at in range(0, len(sequence), 3)]
        codons[row, 1 : len(found) + 1] = torch.tensor(found)
    lengths = torch.tensor([len(sequence) // 3 for sequence in nucleotides] + [1])
    windows = int(window.max()) + 1
    half = len(nucleotides) // 2
    shapes = ((half, _PLACES), (len(codons) - half, _PLACES))
    owners = torch.tensor([*window.tolist(), windows])
    masked, unknown = torch.zeros(codons.numel(), dtype=torch.bool), torch.full_like(lengths, UNKNOWN)
    return Segments(shapes, codons.flatten(), masked, lengths, owners, windows, unknown)


def test_the_classes_of_the_package_give_its_logits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = CompactNetwork(COMPACT, helping=3).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1) if parameter.ndim < 2 else torch.nn.init.xavier_normal_(parameter)
    for layer in (network.hidden, network.output):  # so that windows differ much
        torch.nn.init.normal_(layer.weight)
    window, nucleotides, proteins = _real_frames()
    with torch.no_grad():
        segments = _segments(window, nucleotides)
        expected = add_up(network(segments)[0], segments)[:, 0]

    write_codon_tokenizer(tmp_path / "tokenizer.json")
    tokens = DnaTokenizer(tmp_path / "tokenizer.json").encode(SequenceArray.from_list(nucleotides))
    assert tokens.lengths.tolist() == [len(sequence) // 3 + 2 for sequence in nucleotides]
    *_, classifier = modules = network.modules_of_the_package()
    encoders: tuple[DnabertS | Esm2, ...] = modules[:2]
    inputs = [tokens, tokenize_proteins(SequenceArray.from_list(proteins))]
    vectors = [
        torch.cat([encoder.embed(pack(packed, batch)) for batch in plan_batches(packed.lengths, 4096)])
        for encoder, packed in zip(encoders, inputs, strict=True)
    ]
    with torch.no_grad():
        logits = classifier.logit(torch.cat(vectors, dim=1))
    found = torch.zeros(len(expected)).index_add(0, torch.from_numpy(window), logits)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert found.std() > 1
