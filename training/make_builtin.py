"""Makes the built-in models: untrained encoders with seeded weights, and a classifier trained on real genomes.

    python -m training.make_builtin GENOMES --output virnucpro_kernels/data/models

The encoders and the tokenizer are the same for both window lengths. The classifier sees the train split only; val
decides when its training stops. The same genomes, versions and number of threads give the same models.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from training.features import Encoders, find_frames
from training.genomes import Genomes
from training.untrained import make_nucleotide_encoder, make_protein_encoder, make_tokenizer
from virnucpro_kernels.models.tokenizers import DnaTokenizer
from virnucpro_kernels.pool.geometry import Geometry
from virnucpro_kernels.train.head import RECIPES, Epoch, Examples, train_classifier
from virnucpro_kernels.weights.directory import (
    NewClassifier,
    NewEncoder,
    Origin,
    tensors_of,
    write_model_directory,
)
from virnucpro_kernels.weights.registry import Description

SEED = 2024
_HELD_OUT_WINDOWS = 4_000  # of each class
_SHORT_SHARE = 0.25
_TOKENIZER_PIECES = 5_000
_NOTES = (
    "For trying out and for tests: the encoders are untrained, only the classifier has learned something."
    " Its scores are no basis for conclusions about a sample."
)


def draw_frames(genomes: Genomes, encoders: Encoders, window_length: int, windows: int, seed: int) -> Examples:
    """The frames of random windows; those of a window share a weight of one.

    A quarter of the windows are shorter than `window_length`, as those of short contigs are.
    """
    chance = np.random.default_rng(seed)
    lengths = np.full(windows, window_length)
    lengths[: int(_SHORT_SHARE * windows)] = chance.integers(150, window_length, int(_SHORT_SHARE * windows))
    pieces = genomes.draw(lengths, seed)
    frames = find_frames(pieces.sequences, Geometry(window_length, "original"))
    labels = pieces.is_virus[frames.windows.contig[frames.window]]
    weights = 1 / np.bincount(frames.window)[frames.window]
    print(f"  {len(labels):,} frames of {2 * windows:,} windows", flush=True)  # noqa: T201
    classes = torch.from_numpy(labels.astype(np.int64))
    return Examples(encoders.features(frames), classes, torch.from_numpy(weights).float())


def tell(number: int, epoch: Epoch) -> None:
    """Print the losses of an epoch."""
    print(f"  epoch {number}: loss {epoch.train_loss:.4f}, held out {epoch.val_loss:.4f}", flush=True)  # noqa: T201


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("genomes", type=Path, help="folder with genomes.tsv and <category>.fna.gz")
    parser.add_argument("--output", type=Path, required=True, help="where the model directories go")
    parser.add_argument("--windows", type=int, default=20_000, help="of each class and window length, to train on")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    train_genomes, val_genomes = Genomes(options.genomes, "train"), Genomes(options.genomes, "val")
    with TemporaryDirectory() as scratch:
        tokenizer = Path(scratch) / "tokenizer.json"
        pieces = train_genomes.draw(np.full(_TOKENIZER_PIECES, 500), SEED).sequences
        make_tokenizer((piece.decode("ascii").upper() for piece in pieces), tokenizer)
        encoders = Encoders(DnaTokenizer(tokenizer), make_nucleotide_encoder(SEED), make_protein_encoder(SEED + 1))
        for window_length in (300, 500):
            print(f"builtin-{window_length}")  # noqa: T201
            train = draw_frames(train_genomes, encoders, window_length, options.windows, SEED)
            val = draw_frames(val_genomes, encoders, window_length, _HELD_OUT_WINDOWS, SEED)
            classifier = train_classifier(train, val, RECIPES["default"], SEED, progress=tell).classifier
            write_model_directory(
                options.output / f"builtin-{window_length}",
                Description(
                    name=f"builtin-{window_length}",
                    window_length=window_length,
                    layout="original",
                    purpose="trial",
                    source="made by training/make_builtin.py of this project",
                    licence="MIT",
                    notes=_NOTES,
                ),
                nucleotide=NewEncoder(
                    "builtin-nucleotide",
                    encoders.nucleotide.config,
                    tensors_of(encoders.nucleotide, torch.float16),
                    Origin(f"random weights, seed {SEED}"),
                ),
                tokenizer=tokenizer,
                tokenizer_origin=Origin("byte pairs of the train split of real genomes"),
                protein=NewEncoder(
                    "builtin-protein",
                    encoders.protein.config,
                    tensors_of(encoders.protein, torch.float16),
                    Origin(f"random weights, seed {SEED + 1}"),
                ),
                classifier=NewClassifier(
                    classifier.config,
                    tensors_of(classifier, torch.float16),
                    Origin("trained on the train split of real genomes"),
                ),
            )


if __name__ == "__main__":
    main()
