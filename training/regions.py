"""Measures viral regions inside contigs: on chimeras of genomes that a model was not trained on, and on prophages.

    python -m training.regions GENOMES --model builtin-500 [--split val]

A chimera is a piece of a virus at an end of a piece of a host, or inside of it; of the contigs, a fifth is a virus
alone, and a fifth a host. Several methods are compared there. Prophages are those of the GenBank files in `annotated`,
in which a CDS of a phage has the qualifier `is_phage`.
"""

import argparse
import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from Bio import SeqIO

from training.evaluate import load_encoders
from training.genomes import Genomes
from training.presets import score
from virnucpro_kernels.run.config import complete_config
from virnucpro_kernels.score.logistic import log_odds_of
from virnucpro_kernels.score.regions import Regions, find_regions, regions_of, settled
from virnucpro_kernels.score.rule import Rule
from virnucpro_kernels.score.sample_reader import ContigBatch
from virnucpro_kernels.score.scoring import WindowScores, score_contigs, score_windows
from virnucpro_kernels.score.thresholds import Thresholds
from virnucpro_kernels.sequences.arrays import Bools, Float64s, SequenceArray
from virnucpro_kernels.weights.load import load_classifier
from virnucpro_kernels.weights.registry import Model, find_model

_KINDS = ("whole", "none", "left", "right", "inside")
_SHORTEST, _LONGEST, _LONGEST_HOST = 3000, 40_000, 60_000
#: Genes of phages with a shorter distance are of one prophage, which has at least so many of them.
_PROPHAGE_GAP, _PROPHAGE_GENES = 10_000, 5
_RUNNING_MEAN = 15

#: Start and end of each viral stretch of a contig.
Places = list[tuple[int, int]]
Method = Callable[[ContigBatch, WindowScores, float], Bools]


@dataclass(frozen=True)
class Accuracy:
    """How regions agree with the truth.

    Attributes:
        found: Number of regions.
        precision, recall: Fraction of the bases of regions that are viral, and of the viral bases that are in regions.
        right_number: Fraction of the contigs that have as many regions as viral stretches.
        border_error: Median distance of the borders, in bases, of viral stretches that a region overlaps.
    """

    found: int
    precision: float
    recall: float
    right_number: float
    border_error: float

    @classmethod
    def of(cls, regions: Regions, truth: Sequence[Places], lengths: Sequence[int]) -> "Accuracy":
        """Compare the regions of contigs with the places of the viruses in them."""
        places: list[Places] = [[] for _ in truth]
        for contig, start, end in zip(regions.contig, regions.start, regions.end, strict=True):
            places[contig].append((int(start), int(end)))
        both, found, real = (
            sum(_overlap(a, b) for of, to in zip(one, other, strict=True) for a in of for b in to)
            for one, other in ((places, truth), (places, places), (truth, truth))
        )
        errors = [error for of, to, n in zip(places, truth, lengths, strict=True) for error in _errors(of, to, n)]
        right = np.mean([len(of) == len(to) for of, to in zip(places, truth, strict=True)])
        median = float(np.median(errors)) if errors else np.nan
        return cls(len(regions), both / max(found, 1), both / max(real, 1), float(right), median)

    def __str__(self) -> str:
        f1 = 2 * self.precision * self.recall / max(self.precision + self.recall, 1e-9)
        return (
            f"{self.found:,} | {self.precision:.2f} | {self.recall:.2f} | {f1:.2f} | {self.right_number:.2f}"
            f" | {self.border_error:,.0f}"
        )


def _overlap(a: tuple[int, int], b: tuple[int, int]) -> int:
    return max(0, min(a[1], b[1]) - max(a[0], b[0]))


def _errors(found: Places, truth: Places, length: int) -> list[int]:
    """Return the distance of each border inside of a contig from that of the region that overlaps most."""
    errors = []
    for real in truth:
        nearest = max(found, key=lambda place: _overlap(place, real), default=(0, 0))
        if _overlap(nearest, real):
            errors += [abs(a - b) for a, b in zip(nearest, real, strict=True) if 0 < b < length]
    return errors


def chimeras(genomes: Genomes, number: int) -> tuple[list[bytes], list[Places]]:
    """Return contigs of each kind in turn, and the places of the viruses in them."""
    chance = np.random.default_rng(5)
    sequences, truth = [], []
    for kind in (_KINDS[place % len(_KINDS)] for place in range(number)):
        size, *flanks = np.exp(chance.uniform(np.log(_SHORTEST), np.log(_LONGEST), 3)).astype(np.int64).tolist()
        virus = b"" if kind == "none" else genomes.draw_one("virus", size, chance)
        host = b"" if kind == "whole" else genomes.draw_one("host", min(sum(flanks), _LONGEST_HOST), chance)
        cut = {"left": 0, "right": len(host), "inside": min(flanks[0], len(host) // 2)}.get(kind, 0)
        sequences.append(host[:cut] + virus + host[cut:])
        truth.append([(cut, cut + len(virus))] if virus else [])
    return sequences, truth


def prophages(path: Path) -> tuple[list[bytes], list[Places]]:
    """Return the sequences of a GenBank file, and the places of prophages in them."""
    sequences, truth = [], []
    with gzip.open(path, "rt") as file:
        for record in SeqIO.parse(file, "genbank"):
            genes = [gene.location for gene in record.features if "is_phage" in gene.qualifiers]
            starts = np.sort([int(gene.start) for gene in genes])
            ends = np.sort([int(gene.end) for gene in genes])
            gaps = np.flatnonzero(starts[1:] - ends[:-1] >= _PROPHAGE_GAP) + 1
            clusters = pairwise([0, *gaps.tolist(), len(genes)])
            sequences.append(bytes(record.seq))
            truth.append([(int(starts[a]), int(ends[b - 1])) for a, b in clusters if b - a >= _PROPHAGE_GENES])
    return sequences, truth


def _each_alone(batch: ContigBatch, windows: WindowScores, bound: float) -> Bools:
    return windows.scored & (np.nan_to_num(windows.log_odds) >= bound)


def _running_mean(batch: ContigBatch, windows: WindowScores, bound: float) -> Bools:
    """Hysteresis: the running mean is above the threshold, and somewhere twice as far from that of the call."""
    kernel, viral = np.ones(_RUNNING_MEAN), np.zeros(len(windows.scored), np.bool_)
    for own in _contigs(batch):
        scored = windows.scored[own].astype(np.float64)
        half = slice(_RUNNING_MEAN // 2, _RUNNING_MEAN // 2 + len(scored))
        sums = np.convolve(np.nan_to_num(windows.log_odds[own]), kernel)[half]
        mean = sums / np.maximum(np.convolve(scored, kernel)[half], 1)
        borders = np.flatnonzero(np.diff(mean >= bound, prepend=False, append=False))
        for start, end in borders.reshape(-1, 2):
            viral[own][start:end] = mean[start:end].max() >= 2 * bound
    return _spread(batch, windows, viral)


def _change_points(batch: ContigBatch, windows: WindowScores, bound: float) -> Bools:
    """Change points of the mean (PELT; penalty of the BIC, noise from neighbours); segments are called like contigs."""
    from ruptures import KernelCPD

    viral = np.zeros(len(windows.scored), np.bool_)
    for own in _contigs(batch):
        places = np.flatnonzero(windows.scored[own])
        logit: Float64s = windows.log_odds[own][places]
        ends = [len(logit)]
        if len(logit) >= 4:
            noise = max(float(np.mean(np.diff(logit) ** 2)) / 2, 1e-6)
            segmentation = KernelCPD(kernel="linear", min_size=2).fit(logit[:, None])
            ends = segmentation.predict(pen=2 * noise * np.log(len(logit)))
        for start, end in pairwise([0, *ends]):
            viral[own][places[start:end]] = end > start and logit[start:end].mean() >= bound
    return _spread(batch, windows, viral)


def _contigs(batch: ContigBatch) -> list[slice]:
    ends = np.cumsum(batch.windows).tolist()
    return [slice(start, end) for start, end in pairwise([0, *ends])]


def _spread(batch: ContigBatch, windows: WindowScores, viral: Bools) -> Bools:
    """Return the windows that are viral, with those without a score that follow a viral one of the same contig."""
    spread = viral.copy()
    for own in _contigs(batch):
        places = np.flatnonzero(windows.scored[own])
        if len(places):
            nearest = np.maximum(np.searchsorted(places, np.arange(own.stop - own.start), "right") - 1, 0)
            spread[own] = viral[own][places][nearest]
    return spread


#: Methods that are compared with the one in use.
OTHERS: dict[str, Method] = {
    "each window alone": _each_alone,
    f"hysteresis, running mean of {_RUNNING_MEAN} windows": _running_mean,
    "change points (PELT, BIC)": _change_points,
}


def report(
    sequences: Sequence[bytes],
    truth: Sequence[Places],
    model: Model,
    others: dict[str, Method],
) -> None:
    """Print a line of a table in Markdown for each method."""
    config = complete_config({})
    thresholds = Thresholds(**{key: config[key] for key in Thresholds.__dataclass_fields__})
    rule = Rule.of(model, thresholds)
    joined = SequenceArray.from_list(list(sequences))
    batch = score(joined, model, load_encoders(model), load_classifier(model))
    windows = score_windows(batch, rule)
    contigs = score_contigs(batch, windows, rule)
    bound = rule.prior + log_odds_of(thresholds.region_threshold)
    lengths = [len(sequence) for sequence in sequences]
    in_use = find_regions(batch, windows, contigs, rule)
    by_method = {"hidden Markov model": in_use}
    for name, method in others.items():
        viral = method(batch, windows, bound)
        by_method[name] = regions_of(batch, windows, settled(batch, windows, contigs, viral), rule)
    for name, regions in by_method.items():
        print(f"| {name} | {Accuracy.of(regions, truth, lengths)} |", flush=True)  # noqa: T201


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("genomes", type=Path, help="folder with genomes.tsv, <category>.fna.gz and annotated/")
    parser.add_argument("--model", required=True, help="name or directory")
    parser.add_argument("--split", default="val", help="train, val or test; choose everything on val")
    parser.add_argument("--contigs", type=int, default=250)
    options = parser.parse_args()
    torch.set_num_threads(2)
    model = find_model(options.model)
    columns = ("", "regions", "precision", "recall", "F1", "right number", "border error, bases")
    head = f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|"
    print(f"{model.name}, {options.contigs} contigs of split {options.split}\n\n{head}", flush=True)  # noqa: T201
    report(*chimeras(Genomes(options.genomes, options.split), options.contigs), model, OTHERS)
    for path in sorted((options.genomes / "annotated").glob("*.gb*.gz")):
        sequences, truth = prophages(path)
        if any(truth):
            print(f"\n{path.name}: {sum(map(len, truth))} prophages\n\n{head}")  # noqa: T201
            report(sequences, truth, model, {})


if __name__ == "__main__":
    main()
