"""Measures a model on genomes that it was not trained on: AUROC and accuracy per scored window and per contig.

    python -m training.evaluate GENOMES --model builtin-500 [--split val]

Half of the windows, and half of the contigs, are viral; categories of a class and groups of a category are as likely as
each other. A window's logit follows the rule of the model. Three rules for a contig are compared.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score

from training.features import Encoders, find_frames, geometry_of
from training.genomes import Genomes, Pieces
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

_WINDOWS, _CONTIGS, _BOOTSTRAPS = 4000, 750, 1000
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


def _report(what: str, is_virus: npt.NDArray[np.bool_], p_virus: Float64s, out_of: int) -> None:
    area = roc_auc_score(is_virus, p_virus)
    accuracy = np.mean((p_virus >= 0.5) == is_virus)
    print(f"| {what} | {len(p_virus):,} of {out_of:,} | {area:.3f} | {accuracy:.3f} |", flush=True)  # noqa: T201


def _gain(is_virus: npt.NDArray[np.bool_], p_virus: Float64s, other: Float64s) -> str:
    """AUROC of `p_virus` minus that of `other`, with the 95 % interval of a paired bootstrap over the contigs."""
    chance = np.random.default_rng(0)
    samples = chance.integers(len(is_virus), size=(_BOOTSTRAPS, len(is_virus)))
    gains = [roc_auc_score(is_virus[i], p_virus[i]) - roc_auc_score(is_virus[i], other[i]) for i in samples]
    low, high = np.quantile(gains, [0.025, 0.975])
    return f"{roc_auc_score(is_virus, p_virus) - roc_auc_score(is_virus, other):+.3f} ({low:+.3f} to {high:+.3f})"


def report(folder: Path, split: str, model: Model) -> None:
    """Print a table in Markdown."""
    started = time.monotonic()
    genomes, encoders, classifier = Genomes(folder, split), load_encoders(model), load_classifier(model)
    print(f"\n{model.name}, split {split}\n\n| | scored | AUROC | accuracy |\n|---|---|---|---|")  # noqa: T201
    chance = np.random.default_rng(0)
    window_sets = {
        f"windows of {model.window_length} bp": np.full(_WINDOWS, model.window_length),
        f"windows of 150 to {model.window_length} bp": chance.integers(150, model.window_length, _WINDOWS // 2),
    }
    for seed, (what, lengths) in enumerate(window_sets.items()):
        pieces = genomes.draw(lengths, seed)
        contig, _, logit = score_windows(pieces, model, encoders, classifier)
        _report(what, pieces.is_virus[contig], _sigmoid(logit), len(pieces))

    lengths = np.exp(chance.uniform(np.log(_SHORTEST), np.log(_LONGEST), _CONTIGS)).astype(np.int64)
    pieces = genomes.draw(lengths, seed=2)
    windows = score_windows(pieces, model, encoders, classifier)
    some = np.unique(windows[0])
    by_rule = {rule: score(*windows)[some] for rule, score in RULES.items()}
    for rule, p_virus in by_rule.items():
        _report(f"contigs, {rule}", pieces.is_virus[some], p_virus, len(pieces))
        for shortest, longest in ((_SHORTEST, 2000), (2000, 6000), (6000, _LONGEST)):
            size = pieces.sequences.lengths
            of_size = (size[some] >= shortest) & (size[some] < longest)
            out_of = int(((size >= shortest) & (size < longest)).sum())
            what = f"… of {shortest:,} to {longest:,} bp"
            _report(what, pieces.is_virus[some][of_size], p_virus[of_size], out_of)
    in_use, *others = by_rule
    for rule in others:
        gain = _gain(pieces.is_virus[some], by_rule[in_use], by_rule[rule])
        print(f"\nAUROC of contigs, {in_use}, minus {rule}: {gain}")  # noqa: T201
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
