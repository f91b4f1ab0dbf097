"""Measures the presets of calls on genomes that a model was not trained on: precision and recall of `viral`.

    python -m training.presets GENOMES --model builtin-500 [--split val]

Half of the contigs, of 300 bp to 10 kbp, are viral. A contig without a call counts as not viral.
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from training.evaluate import load_encoders
from training.features import Encoders, find_frames, geometry_of
from training.genomes import Genomes
from virnucpro_kernels.models.classifier import Classifier
from virnucpro_kernels.run.config import complete_config, schema
from virnucpro_kernels.score.classify import logits, softmax
from virnucpro_kernels.score.rule import Rule
from virnucpro_kernels.score.sample_reader import ContigBatch
from virnucpro_kernels.score.scoring import CALLS, score_contigs, score_windows
from virnucpro_kernels.score.thresholds import Thresholds
from virnucpro_kernels.sequences.arrays import SequenceArray
from virnucpro_kernels.weights.load import load_classifier
from virnucpro_kernels.weights.registry import Model, find_model

_PAIRS, _SHORTEST, _LONGEST = 1000, 300, 10_000


def score(sequences: SequenceArray, model: Model, encoders: Encoders, classifier: Classifier) -> ContigBatch:
    """Contigs with the scores of their frames, as `collect` reads them; a mask has only the number of frames right."""
    frames = find_frames(sequences, geometry_of(model))
    found = logits(classifier, encoders.features(frames).numpy())
    windows, n = frames.windows, len(sequences.lengths)
    of_window = np.bincount(frames.window, minlength=len(windows))
    return ContigBatch(
        contig=pa.array(map(str, range(n)), pa.string()),
        description=pa.array([""] * n, pa.string()),
        length=sequences.lengths,
        status=pa.array(["scored"] * n, pa.string()),
        windows=np.bincount(windows.contig, minlength=n),
        note=pa.array([""] * n, pa.string()),
        start=windows.start,
        end=windows.end,
        mask=((1 << of_window) - 1).astype(np.uint8),
        logit=found,
        scores=softmax(found),
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("genomes", type=Path, help="folder with genomes.tsv and <category>.fna.gz")
    parser.add_argument("--model", required=True, help="name or directory")
    parser.add_argument("--split", default="val", help="train, val or test; choose everything on val")
    options = parser.parse_args()
    torch.set_num_threads(2)
    model = find_model(options.model)
    lengths = np.exp(np.random.default_rng(0).uniform(np.log(_SHORTEST), np.log(_LONGEST), _PAIRS)).astype(np.int64)
    pieces = Genomes(options.genomes, options.split).draw(lengths, seed=3)
    batch = score(pieces.sequences, model, load_encoders(model), load_classifier(model))
    print(f"{model.name}, split {options.split}\n\n| preset | viral | precision | recall |\n|---|---|---|---|")  # noqa: T201
    for name in schema("config")["presets"]:
        config = complete_config({"preset": name})
        thresholds = Thresholds(**{key: config[key] for key in Thresholds.__dataclass_fields__})
        rule = Rule.of(model, thresholds)
        viral = score_contigs(batch, score_windows(batch, rule), rule).call == CALLS.index("viral")
        precision, recall = (pieces.is_virus[viral].mean(), viral[pieces.is_virus].mean())
        print(f"| {name} | {viral.sum():,} of {len(pieces):,} | {precision:.2f} | {recall:.2f} |")  # noqa: T201


if __name__ == "__main__":
    main()
