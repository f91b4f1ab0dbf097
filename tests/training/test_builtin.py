"""The built-in models: small, whole, made by the script that says so, and better than chance on real genomes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from tests.helpers.defaults import rule
from training import presets
from training.contig_rules import RULES
from training.evaluate import load_encoders, score_windows
from training.features import find_frames, geometry_of
from training.genomes import Genomes, Pieces
from training.make_builtin import SEED
from training.untrained import make_nucleotide_encoder, make_protein_encoder, make_tokenizer
from virnucpro_kernels.models.tokenizers import DnaTokenizer
from virnucpro_kernels.score.classify import logits
from virnucpro_kernels.score.scoring import score_contigs
from virnucpro_kernels.score.scoring import score_windows as score_batch_windows
from virnucpro_kernels.sequences.arrays import SequenceArray
from virnucpro_kernels.sequences.records import read_records
from virnucpro_kernels.weights.directory import tensors_of
from virnucpro_kernels.weights.load import load_classifier, load_nucleotide_encoder, load_protein_encoder, verify
from virnucpro_kernels.weights.registry import Model, find_model

DEMO = Path(__file__).parents[2] / ".test" / "data" / "demo.fna.gz"
NAMES = ("builtin-300", "builtin-500")


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest) -> Model:
    return find_model(request.param)


def test_they_are_small_and_say_what_they_are_for() -> None:
    models = [find_model(name) for name in NAMES]
    assert sum(path.stat().st_size for model in models for path in model.directory.iterdir()) < 8_000_000
    for model, window_length in zip(models, (300, 500), strict=True):
        assert model.window_length == window_length
        assert model.purpose == "trial"
        assert "untrained" in model.notes
        assert [encoder.hidden // encoder.heads for encoder in (model.nucleotide, model.protein)] == [64, 64]


def test_their_files_are_whole(model: Model) -> None:
    assert verify(model) == []


def test_their_encoders_are_those_of_the_seed(model: Model) -> None:
    pairs = [
        (load_nucleotide_encoder(model, "cpu", torch.float32), make_nucleotide_encoder(SEED)),
        (load_protein_encoder(model, "cpu", torch.float32), make_protein_encoder(SEED + 1)),
    ]
    for shipped, made in pairs:
        expected = tensors_of(made, torch.float32)
        found = tensors_of(shipped, torch.float32)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_scores_depend_on_the_frame_alone(model: Model) -> None:
    contigs = [record.sequence for record in read_records(DEMO)][:8]
    encoders, classifier = load_encoders(model), load_classifier(model)

    def scores(sequences: list[bytes]) -> np.ndarray:
        frames = find_frames(SequenceArray.from_list(sequences), geometry_of(model))
        return logits(classifier, encoders.features(frames).numpy())

    together = scores(contigs)
    assert np.array_equal(together, scores(contigs))
    alone = np.concatenate([scores([contig]) for contig in contigs])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-4)
    assert together.std() > 0.5


def test_they_beat_chance_on_other_genomes(genomes: Path, model: Model) -> None:
    pieces = Genomes(genomes, "val").draw(np.full(150, model.window_length), seed=7)
    windows = score_windows(pieces, model, load_encoders(model), load_classifier(model))
    assert len(windows.logit) > 100
    assert roc_auc_score(pieces.is_virus[windows.contig], windows.logit) > 0.65


def test_pieces_are_drawn_alike_again_and_evenly(genomes: Path) -> None:
    splits = {name: Genomes(genomes, name) for name in ("train", "val")}
    lengths = np.full(40, 300)
    pieces, again = (splits["val"].draw(lengths, seed=1) for _ in range(2))
    assert list(pieces.sequences) == list(again.sequences)
    assert pieces.is_virus.sum() == len(lengths)
    assert set(pieces.sequences.lengths) == {300}
    assert set(pieces.sequences.data.tobytes().upper()) <= set(b"ACGT")
    train = set(splits["train"].draw(lengths, seed=1).sequences)
    assert not train & set(pieces.sequences)


def test_the_tokenizer_is_the_same_every_time(tmp_path: Path) -> None:
    contigs = [record.sequence.decode() for record in read_records(DEMO)]
    for name in ("one", "two"):
        make_tokenizer(contigs, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    tokens = DnaTokenizer(tmp_path / "one").encode(SequenceArray.from_list([b"ACGTN", b"A" * 40, b"R"]))
    cls, sep, unknown = 1, 2, 0
    assert [tokens.tokens[i] for i in tokens.offsets[:-1]] == [cls] * 3
    assert [tokens.tokens[i - 1] for i in tokens.offsets[1:]] == [sep] * 3
    assert tokens.tokens[tokens.offsets[2] + 1] == unknown


def test_presets_are_measured_with_the_scores_of_contigs(model: Model) -> None:
    sequences = SequenceArray.from_list([record.sequence for record in read_records(DEMO)][:8])
    encoders, classifier = load_encoders(model), load_classifier(model)
    batch = presets.score(sequences, model, encoders, classifier)
    windows = score_batch_windows(batch, rule(model.window_length))
    found = score_contigs(batch, windows, rule(model.window_length))
    pieces = Pieces(sequences, np.zeros(len(sequences.lengths), np.bool_))
    contigs = score_windows(pieces, model, encoders, classifier).contigs()
    in_use = next(iter(RULES.values()))
    log_odds = in_use(contigs, rule(model.window_length))
    np.testing.assert_allclose(found.p_virus[contigs.contig], 1 / (1 + np.exp(-log_odds)), atol=1e-5)
    assert np.array_equal(found.evidence.bases[contigs.contig], contigs.bases)
