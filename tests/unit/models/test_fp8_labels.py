"""What the corrected biases of fp8 are for: the frames of the bundled sequences keep their scores and labels."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch

from tests.helpers.blocks import esm2_blocks
from tests.helpers.precision_runs import DEMO, check_scores
from tests.helpers.stages import run
from virnucpro_kernels.models.dnabert_s import DnabertS
from virnucpro_kernels.models.esm2 import Esm2
from virnucpro_kernels.models.precisions import FP8_ATTENTION
from virnucpro_kernels.models.rounding import round_to_fp8
from virnucpro_kernels.models.similarity import cosines
from virnucpro_kernels.models.tokenizers import tokenize_proteins
from virnucpro_kernels.ops.packing import TokenArray, pack, plan_batches
from virnucpro_kernels.pool.chunk_fasta import check_fasta, read_frames
from virnucpro_kernels.pool.manifest import read_manifest
from virnucpro_kernels.score.classify import logits, softmax
from virnucpro_kernels.weights.load import (
    load_classifier,
    load_dna_tokenizer,
    load_nucleotide_encoder,
    load_protein_encoder,
)
from virnucpro_kernels.weights.registry import find_model

MODEL = find_model("builtin-500", None)
Vectors = npt.NDArray[np.float32]
#: Vectors of the proteins by an encoder, and with them p_virus of the frames.
Score = Callable[[Esm2], tuple[Vectors, Vectors]]


def embed(encoder: Esm2 | DnabertS, tokens: TokenArray) -> Vectors:
    batches = (pack(tokens, part) for part in plan_batches(tokens.lengths, 4096))
    return np.concatenate([encoder.embed(batch).numpy() for batch in batches])


@pytest.fixture(scope="module")
def score(tmp_path_factory: pytest.TempPathFactory) -> Score:
    manifest = tmp_path_factory.mktemp("pool") / "chunks.tsv"
    run("split", f"demo={DEMO}", "--window-length", 500, "--output-dir", manifest.parent)
    frames = read_frames(*check_fasta(manifest, read_manifest(manifest)[0]))
    nucleotides = embed(
        load_nucleotide_encoder(MODEL, "cpu", torch.float32), load_dna_tokenizer(MODEL).encode(frames.nucleotides)
    )
    classifier = load_classifier(MODEL)

    def score(encoder: Esm2) -> tuple[Vectors, Vectors]:
        proteins = embed(encoder, tokenize_proteins(frames.proteins))
        return proteins, softmax(logits(classifier, np.hstack([nucleotides, proteins])))[:, 1]

    return score


@pytest.fixture(scope="module")
def exact(score: Score) -> tuple[Vectors, Vectors]:
    return score(load_protein_encoder(MODEL, "cpu", torch.float32))


@pytest.mark.parametrize(("precision", "attention"), FP8_ATTENTION.items())
def test_corrected_biases_keep_scores_and_labels(
    precision: str, attention: bool, score: Score, exact: tuple[Vectors, Vectors]
) -> None:
    expected, p_virus = exact
    plain, corrected = (
        load_protein_encoder(MODEL, "cpu", torch.float32),
        load_protein_encoder(MODEL, "cpu", torch.float32),
    )
    for block in esm2_blocks(plain):
        block.to_fp8(attention=attention)
    round_to_fp8(corrected, attention=attention)
    (plain_vectors, plain_scores), (vectors, scores) = score(plain), score(corrected)
    check_scores(precision, scores, p_virus)
    assert np.sum((scores > 0.5) != (p_virus > 0.5)) < np.sum((plain_scores > 0.5) != (p_virus > 0.5)) / 2
    assert np.abs(scores - p_virus).mean() < np.abs(plain_scores - p_virus).mean() / 3
    errors = [1 - cosines(each, expected).centred_mean for each in (vectors, plain_vectors)]
    assert errors[0] < errors[1] / 5
