"""Measures a model on genomes that it was not trained on: AUROC and accuracy per scored window and per contig.

    python -m training.evaluate GENOMES --model builtin-500 [--split val]

Half of the windows, and half of the contigs, are viral; categories of a class and groups of a category are as likely as
each other. A window's logit follows the rule of the model. Three rules for a contig are compared, on those that have a
score. Intervals hold 95 % of draws of the groups. `python -m training.truth` and `virnucpro evaluate` measure what a
user gets.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from training.features import Encoders, find_frames, geometry_of
from training.genomes import Genomes, Pieces
from virnucpro_kernels.evaluate.bootstrap import Draws, draw_groups, interval
from virnucpro_kernels.evaluate.measures import Rows, ranking
from virnucpro_kernels.evaluate.truth import LABELS, Truth
from virnucpro_kernels.models.classifier import Classifier
from virnucpro_kernels.score.classify import logits
from virnucpro_kernels.sequences.arrays import Float64s, Int64s
from virnucpro_kernels.weights.load import (
    load_classifier,
    load_dna_tokenizer,
    load_nucleotide_encoder,
    load_protein_encoder,
)
from virnucpro_kernels.weights.registry import Model, find_model

_WINDOWS, _CONTIGS, _DRAWS = 4000, 750, 1000
_THRESHOLD = 0.5
_SHORTEST, _LONGEST = 500, 20_000


def load_encoders(model: Model) -> Encoders:
    """Both encoders of a model, fp32 on the CPU."""
    return Encoders(
        load_dna_tokenizer(model),
        load_nucleotide_encoder(model, "cpu", torch.float32),
        load_protein_encoder(model, "cpu", torch.float32),
    )


def score_windows(
    pieces: Pieces, model: Model, encoders: Encoders, classifier: Classifier
) -> tuple[Int64s, Int64s, Float64s]:
    """Contig (index of the piece), length and logit of each scored window."""
    frames = find_frames(pieces.sequences, geometry_of(model))
    frame_logits = logits(classifier, encoders.features(frames).numpy()).astype(np.float64)
    scored, first = np.unique(frames.window, return_index=True)
    if model.adds_frames:
        window_logits = np.add.reduceat(frame_logits, first)
    else:
        window_logits = (np.maximum.reduceat(frame_logits, first) + np.minimum.reduceat(frame_logits, first)) / 2
    return frames.windows.contig[scored], (frames.windows.end - frames.windows.start)[scored], window_logits


def _sigmoid(logit: Float64s) -> Float64s:
    return 1 / (1 + np.exp(-logit))


def _mean_probability(contig: Int64s, length: Int64s, logit: Float64s) -> Float64s:
    return np.bincount(contig, length * _sigmoid(logit)) / np.maximum(np.bincount(contig, length), 1)


def _mean_logit(contig: Int64s, length: Int64s, logit: Float64s) -> Float64s:
    return _sigmoid(np.bincount(contig, length * logit) / np.maximum(np.bincount(contig, length), 1))


def _highest_probability(contig: Int64s, _: Int64s, logit: Float64s) -> Float64s:
    highest = np.zeros(contig.max() + 1)
    np.maximum.at(highest, contig, _sigmoid(logit))
    return highest


#: The rule in use, then others.
RULES: dict[str, Callable[[Int64s, Int64s, Float64s], Float64s]] = {
    "mean logit, weighted by window length": _mean_logit,
    "mean p_virus, weighted by window length": _mean_probability,
    "highest p_virus": _highest_probability,
}


def _draws(pieces: Pieces) -> Draws:
    """Draws of the groups of relatives that pieces are of."""
    texts = {name: np.array([row[name] for row in pieces.rows], object) for name in ("category", "group")}
    label = np.where(pieces.is_virus, LABELS.index("virus"), LABELS.index("host"))
    truth = Truth(Path(), pd.RangeIndex(len(pieces)), label, texts, pieces.sequences.lengths.astype(np.float64), ())
    return draw_groups(truth, _DRAWS, seed=0)


def _areas(pieces: Pieces, piece: Int64s, p_virus: Float64s, draws: Draws) -> Float64s:
    """AUROC of scores, each of a piece, in all draws."""
    rows = Rows(draws.unit[piece], pieces.is_virus[piece], p_virus, p_virus >= _THRESHOLD)
    return ranking(rows, draws)["auroc"]


def _with_interval(values: Float64s, form: str) -> str:
    low, high = interval(values)
    return f"{values[0]:{form}} ({low:{form}} to {high:{form}})"


def _report(what: str, pieces: Pieces, piece: Int64s, p_virus: Float64s, draws: Draws, out_of: int) -> None:
    accuracy = np.mean((p_virus >= _THRESHOLD) == pieces.is_virus[piece])
    area = _with_interval(_areas(pieces, piece, p_virus, draws), ".3f")
    print(f"| {what} | {len(p_virus):,} of {out_of:,} | {area} | {accuracy:.3f} |", flush=True)  # noqa: T201


def report(folder: Path, split: str, model: Model) -> None:
    """Print a table in Markdown."""
    started = time.monotonic()
    genomes, encoders, classifier = Genomes(folder, split), load_encoders(model), load_classifier(model)
    print(f"\n{model.name}, split {split}\n\n| | scored | AUROC (95 %) | accuracy |\n|---|---|---|---|")  # noqa: T201
    chance = np.random.default_rng(0)
    window_sets = {
        f"windows of {model.window_length} bp": np.full(_WINDOWS, model.window_length),
        f"windows of 150 to {model.window_length} bp": chance.integers(150, model.window_length, _WINDOWS // 2),
    }
    for seed, (what, lengths) in enumerate(window_sets.items()):
        pieces = genomes.draw(lengths, seed)
        contig, _, logit = score_windows(pieces, model, encoders, classifier)
        _report(what, pieces, contig, _sigmoid(logit), _draws(pieces), len(pieces))

    lengths = np.exp(chance.uniform(np.log(_SHORTEST), np.log(_LONGEST), _CONTIGS)).astype(np.int64)
    pieces = genomes.draw(lengths, seed=2)
    windows = score_windows(pieces, model, encoders, classifier)
    some, draws = np.unique(windows[0]), _draws(pieces)
    by_rule = {rule: score(*windows)[some] for rule, score in RULES.items()}
    for rule, p_virus in by_rule.items():
        _report(f"contigs, {rule}", pieces, some, p_virus, draws, len(pieces))
        for shortest, longest in ((_SHORTEST, 2000), (2000, 6000), (6000, _LONGEST)):
            size = pieces.sequences.lengths
            of_size = (size[some] >= shortest) & (size[some] < longest)
            out_of = int(((size >= shortest) & (size < longest)).sum())
            what = f"… of {shortest:,} to {longest:,} bp"
            _report(what, pieces, some[of_size], p_virus[of_size], draws, out_of)
    in_use, *others = (_areas(pieces, some, p_virus, draws) for p_virus in by_rule.values())
    for rule, area in zip(list(by_rule)[1:], others, strict=True):
        gain = _with_interval(in_use - area, "+.3f")
        print(f"\nAUROC of contigs, the rule in use minus {rule}: {gain}")  # noqa: T201
    print(f"\n{time.monotonic() - started:.0f} s, {torch.get_num_threads()} threads")  # noqa: T201


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("genomes", type=Path, help="folder with genomes.tsv and <category>.fna.gz")
    parser.add_argument("--model", required=True, help="name or directory")
    parser.add_argument("--split", default="val", help="train, val or test; choose everything on val")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    report(options.genomes, options.split, find_model(options.model))


if __name__ == "__main__":
    main()
