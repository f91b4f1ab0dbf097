"""Measures a model on genomes that it was not trained on: AUROC and accuracy per scored window and per contig.

    python -m training.evaluate GENOMES --model builtin-500 [--split val]

Half of the windows, and half of the contigs, are viral; categories of a class and groups of a category are as likely as
each other. A window's logit follows the rule of the model. Rules for a contig are compared on those that have a score,
all together and by length. The learnt ones score each contig by what they learnt from other groups of relatives.
Intervals hold 95 % of draws of the groups. `python -m training.truth` and `virnucpro evaluate` measure what a user
gets.
"""

import argparse
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from training.contig_rules import LEARNT, RULES, WindowLogits, learn
from training.features import Encoders, find_frames, geometry_of
from training.genomes import Genomes, Pieces
from virnucpro_kernels.evaluate.bootstrap import Draws, draw_groups, interval
from virnucpro_kernels.evaluate.measures import Rows, ranking
from virnucpro_kernels.evaluate.truth import LABELS, Truth
from virnucpro_kernels.models.classifier import Classifier
from virnucpro_kernels.run.config import complete_config
from virnucpro_kernels.score.classify import logits
from virnucpro_kernels.score.rule import Rule
from virnucpro_kernels.score.thresholds import Thresholds
from virnucpro_kernels.sequences.arrays import Bools, Float64s, Int64s
from virnucpro_kernels.weights.load import (
    load_classifier,
    load_dna_tokenizer,
    load_nucleotide_encoder,
    load_protein_encoder,
)
from virnucpro_kernels.weights.registry import Model, find_model

_WINDOWS, _CONTIGS, _DRAWS = 4000, 1500, 1000
_SHORTEST, _LONGEST = 500, 20_000


def load_encoders(model: Model) -> Encoders:
    """Both encoders of a model, fp32 on the CPU."""
    return Encoders(
        load_dna_tokenizer(model),
        load_nucleotide_encoder(model, "cpu", torch.float32),
        load_protein_encoder(model, "cpu", torch.float32),
    )


def score_windows(pieces: Pieces, model: Model, encoders: Encoders, classifier: Classifier) -> WindowLogits:
    """Logits of the scored windows of pieces; the contig is the index of the piece."""
    frames = find_frames(pieces.sequences, geometry_of(model))
    frame_logits = logits(classifier, encoders.features(frames).numpy()).astype(np.float64)
    scored, first = np.unique(frames.window, return_index=True)
    if model.adds_frames:
        window_logits = np.add.reduceat(frame_logits, first)
    else:
        window_logits = (np.maximum.reduceat(frame_logits, first) + np.minimum.reduceat(frame_logits, first)) / 2
    windows = frames.windows
    return WindowLogits(windows.contig[scored], windows.start[scored], windows.end[scored], window_logits)


def _draws(pieces: Pieces) -> Draws:
    """Draws of the groups of relatives that pieces are of."""
    texts = {name: np.array([row[name] for row in pieces.rows], object) for name in ("category", "group")}
    label = np.where(pieces.is_virus, LABELS.index("virus"), LABELS.index("host"))
    truth = Truth(Path(), pd.RangeIndex(len(pieces)), label, texts, pieces.sequences.lengths.astype(np.float64), ())
    return draw_groups(truth, _DRAWS, seed=0)


@dataclass(frozen=True, eq=False)
class _Scores:
    """Scores of pieces, some of which have none: index of the piece, class and score of each, and draws of groups."""

    piece: Int64s
    is_virus: Bools
    score: Float64s
    draws: Draws

    def pick(self, which: Bools) -> "_Scores":
        return _Scores(self.piece[which], self.is_virus[which], self.score[which], self.draws)

    @cached_property
    def areas(self) -> Float64s:
        """AUROC in all draws."""
        rows = Rows(self.draws.unit[self.piece], self.is_virus, self.score, self.score >= 0)
        return ranking(rows, self.draws)["auroc"]

    def row(self, what: str, out_of: int, in_use: "_Scores | None" = None) -> str:
        """Row of a table: AUROC, accuracy and, with the rule in use, the AUROC less that of the rule in use."""
        accuracy = np.mean((self.score >= 0) == self.is_virus)
        row = f"| {what} | {len(self.score):,} of {out_of:,} | {_with_interval(self.areas, '.3f')} | {accuracy:.3f} |"
        return f"{row} |" if in_use is None else f"{row} {_with_interval(self.areas - in_use.areas, '+.4f')} |"


def _with_interval(values: Float64s, form: str) -> str:
    low, high = interval(values)
    return f"{values[0]:{form}} ({low:{form}} to {high:{form}})"


def _tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def report_windows(genomes: Genomes, model: Model, encoders: Encoders, classifier: Classifier) -> None:
    """Print a table in Markdown of windows of the model's length, and of shorter ones."""
    _tell("\n| | scored | AUROC (95 %) | accuracy | |\n|---|---|---|---|---|")
    window_sets = {
        f"windows of {model.window_length} bp": np.full(_WINDOWS, model.window_length),
        f"windows of 150 to {model.window_length} bp": np.random.default_rng(0).integers(
            150, model.window_length, _WINDOWS // 2
        ),
    }
    for seed, (what, lengths) in enumerate(window_sets.items()):
        pieces = genomes.draw(lengths, seed)
        windows = score_windows(pieces, model, encoders, classifier)
        scores = _Scores(windows.contig, pieces.is_virus[windows.contig], windows.logit, _draws(pieces))
        _tell(scores.row(what, len(pieces)))


def report_contigs(genomes: Genomes, model: Model, encoders: Encoders, classifier: Classifier, pairs: int) -> None:
    """Print a table in Markdown of the rules for contigs, of `pairs` viral contigs and as many others."""
    _tell("\n| | scored | AUROC (95 %) | accuracy | AUROC less that of the rule in use |\n|---|---|---|---|---|")
    chance = np.random.default_rng(0)
    lengths = np.exp(chance.uniform(np.log(_SHORTEST), np.log(_LONGEST), pairs)).astype(np.int64)
    pieces = genomes.draw(lengths, seed=2)
    contigs = score_windows(pieces, model, encoders, classifier).contigs()
    rule, is_virus = Rule.of(model, _thresholds()), pieces.is_virus[contigs.contig]
    groups = [pieces.rows[index]["group"] for index in contigs.contig.tolist()]
    found = {name: score(contigs, rule) for name, score in RULES.items()}
    found |= {name: learn(features(contigs), is_virus, groups) for name, features in LEARNT.items()}
    draws, size = _draws(pieces), pieces.sequences.lengths
    scores = {name: _Scores(contigs.contig, is_virus, score, draws) for name, score in found.items()}
    for shortest, longest in ((_SHORTEST, _LONGEST), (_SHORTEST, 2000), (2000, 6000), (6000, _LONGEST)):
        of_size = (size >= shortest) & (size < longest)
        picked = {name: of_rule.pick(of_size[contigs.contig]) for name, of_rule in scores.items()}
        in_use = next(iter(picked.values()))
        for name, of_rule in picked.items():
            what = f"{shortest:,} to {longest:,} bp, {name}"
            _tell(of_rule.row(what, int(of_size.sum()), None if of_rule is in_use else in_use))


def _thresholds() -> Thresholds:
    config = complete_config({})
    return Thresholds(**{key: config[key] for key in Thresholds.__dataclass_fields__})


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("genomes", type=Path, help="folder with genomes.tsv and <category>.fna.gz")
    parser.add_argument("--model", required=True, help="name or directory")
    parser.add_argument("--split", default="val", help="train, val or test; choose everything on val")
    parser.add_argument("--contigs", type=int, default=_CONTIGS, help="half of them viral")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    started, model = time.monotonic(), find_model(options.model)
    genomes, encoders, classifier = (
        Genomes(options.genomes, options.split),
        load_encoders(model),
        load_classifier(model),
    )
    _tell(f"{model.name}, split {options.split}")
    report_windows(genomes, model, encoders, classifier)
    report_contigs(genomes, model, encoders, classifier, options.contigs // 2)
    _tell(f"\n{time.monotonic() - started:.0f} s, {options.threads} threads")


if __name__ == "__main__":
    main()
